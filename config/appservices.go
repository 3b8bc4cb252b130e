package config

import (
	"path/filepath"
	"slices"

	"synupkeep/internal/homeserver"
)

// keepBridges is the word for --keep-user that stands for the users of all application services.
const keepBridges = "bridges"

// readAppServices reads who the users of application services are: of the files that Synapse's configuration names, and
// those that its container image takes (docker/start.py: appservices/*.yaml in the data directory). Without the word of
// --keep-user they only make the plan's warnings better, and one that cannot be read is no matter: its tokens are none
// of ours.
func (r *reader) readAppServices(cfg *Config) {
	var files []string
	if cfg.Synapse != nil {
		files = slices.Clone(cfg.Synapse.AppServices)
	}
	if r.in.DataDir != "" {
		found, err := filepath.Glob(filepath.Join(r.in.DataDir, "appservices", "*.yaml"))
		if err == nil { // it is of the pattern only
			files = append(files, found...)
		}
	}
	for i := range files {
		files[i] = filepath.Clean(files[i])
	}
	slices.Sort(files)
	list, err := homeserver.ReadAppServices(slices.Compact(files)...)
	cfg.AppServices = list
	if !cfg.Media.KeepBridged {
		return
	}
	const accepted = "registration files that can be read here, named by app_service_config_files of --homeserver-config or in /data/appservices; " +
		"or globs of their users"
	source := r.settings["keep-user"].source
	switch {
	case err != nil:
		r.problem(source, keepBridges, "whose users they are cannot be known: "+err.Error(), accepted)
	case len(list) == 0:
		r.problem(source, keepBridges, "no application service is known here", accepted)
	}
}

// BridgeOf is the id of the application service whose user that is, empty if it is nobody's or not known.
func (c *Config) BridgeOf(user, serverName string) string {
	for _, a := range c.AppServices {
		if a.Owns(user, serverName) {
			return a.ID
		}
	}
	return ""
}
