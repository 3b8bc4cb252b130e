// Package homeserver reads Synapse's own configuration: where its database, its media and its listeners are, so that
// nobody has to say it twice. It decides nothing and connects to nothing.
//
// Sources: synapse/config/_base.py:911-985 (files), database.py:52-119, repository.py:128-196, server.py:588-720,
// 961-1035, retention.py, all of 1.163.2.
package homeserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Config is what Synapse is told.
type Config struct {
	// Files are those that were read, in their order.
	Files      []string
	ServerName string
	Databases  []Database
	// MediaStore is media_store_path as it stands there: one that is relative counts from Synapse's working directory.
	MediaStore string
	// NoMediaRepo says that this process serves no media: another worker does.
	NoMediaRepo bool
	Providers   []Provider
	Listeners   []Listener
	// Workers are the processes beside the main one, by their names in instance_map, in order. The listeners are the main
	// process's, whichever files were read: those of a worker have a key of their own (worker_listeners).
	Workers   []string
	Retention Retention
	// UnusedExpiration is unused_expiration_time: how long somebody may upload to an id; 0 where it is not given.
	UnusedExpiration time.Duration
	// RegistrationSecret is registration_shared_secret, a secret; RegistrationSecretFile is the file that holds it instead.
	RegistrationSecret, RegistrationSecretFile string
	// AppServices are the files that describe application services (app_service_config_files).
	AppServices []string
}

// Retention is what Synapse deletes by itself.
type Retention struct {
	Messages bool // retention.enabled
	// LocalMedia and RemoteMedia are the lifetimes of media_retention as they stand there; empty without one.
	LocalMedia, RemoteMedia string
}

// mostBytes is far above any configuration: a longer file is something else.
const mostBytes = 4 << 20

// Errors of Read.
var (
	errEmpty    = errors.New("it is empty or no list of keys and values")
	errNotYAML  = errors.New("it is not the YAML that Synapse reads")
	errTooLarge = errors.New("it is larger than any configuration")
	errNoFiles  = errors.New("there is no file whose name ends in .yaml in it")
)

// Read reads the files as Synapse does: of a directory all *.yaml in their order, and a key of a later file takes the
// place of the same key of an earlier one, with all that is in it. No error quotes what a file holds.
func Read(paths ...string) (*Config, error) {
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	all := map[string]any{}
	for _, file := range files {
		if err := readInto(all, file); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	c := &Config{Files: files}
	return c, c.fill(section(all))
}

func expand(paths []string) (files []string, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path) // sorted by name
		if err != nil {
			return nil, err
		}
		before := len(files)
		for _, entry := range entries {
			name := filepath.Join(path, entry.Name())
			// As Synapse does: a link to a file, which a mounted ConfigMap is made of, is one.
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && strings.HasSuffix(name, ".yaml") {
				files = append(files, name)
			}
		}
		if len(files) == before {
			return nil, fmt.Errorf("read %s: %w", path, errNoFiles)
		}
	}
	return files, nil
}

func readInto(all map[string]any, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return withoutPath(err)
	}
	content, err := io.ReadAll(io.LimitReader(file, mostBytes+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return withoutPath(err)
	}
	if len(content) > mostBytes {
		return errTooLarge
	}
	if bytes.IndexByte(content, 0) >= 0 {
		return errNotYAML
	}
	var found map[string]any
	if err := yaml.UnmarshalWithOptions(content, &found, yaml.AllowDuplicateMapKey()); err != nil {
		return notYAML(err)
	}
	if found == nil {
		return errEmpty
	}
	for key, value := range found {
		all[key] = value
	}
	return nil
}

// notYAML tells where, and not what stands there: it may be a password.
func notYAML(err error) error {
	var syntax yaml.Error
	if errors.As(err, &syntax) && syntax.GetToken() != nil {
		return fmt.Errorf("%w: see line %d", errNotYAML, syntax.GetToken().Position.Line)
	}
	return errNotYAML
}

func withoutPath(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func (c *Config) fill(all section) error {
	var err error
	c.ServerName = all.text("server_name")
	if c.Databases, err = databases(all); err != nil {
		return err
	}
	c.MediaStore = all.text("media_store_path")
	if c.MediaStore == "" {
		c.MediaStore = "media_store"
	}
	c.NoMediaRepo = !all.truth("enable_media_repo", true)
	c.Providers = providers(all)
	c.UnusedExpiration = duration(all.text("unused_expiration_time"))
	if c.Listeners, err = listeners(all); err != nil {
		return err
	}
	for name := range all.section("instance_map") {
		if name != "main" { // MAIN_PROCESS_INSTANCE_MAP_NAME of config/workers.py
			c.Workers = append(c.Workers, name)
		}
	}
	slices.Sort(c.Workers)
	c.Retention.Messages = all.section("retention").truth("enabled", false)
	media := all.section("media_retention")
	c.Retention.LocalMedia, c.Retention.RemoteMedia = media.text("local_media_lifetime"), media.text("remote_media_lifetime")
	c.RegistrationSecret = all.text("registration_shared_secret")
	c.RegistrationSecretFile = all.text("registration_shared_secret_path")
	c.AppServices = slices.DeleteFunc(all.texts("app_service_config_files"), func(name string) bool { return name == "" })
	return nil
}
