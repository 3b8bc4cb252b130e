package config

import (
	"path/filepath"
	"strings"
)

// MediaStores are the directories that may be the media store, the likeliest first, as far as arguments and variables tell
// without a file being read: the one that is named, else those of Synapse's container image in its data directory
// (media_store where it generated the configuration, media where it made one of the variables: docker/conf/homeserver.yaml).
func MediaStores(in Input) []string {
	spec, _ := specOf("media-store")
	for _, flag := range arrange(in.Args).flags {
		if value, is := strings.CutPrefix(flag, "--"+spec.name+"="); is {
			return []string{value}
		}
	}
	for _, name := range spec.variables() {
		if value, _ := in.LookupEnv(name); value != "" {
			return []string{value}
		}
	}
	return []string{filepath.Join(in.DataDir, "media_store"), filepath.Join(in.DataDir, "media")}
}
