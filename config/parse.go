package config

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/logging"
)

const (
	defaultAPIURL     = "http://localhost:8008/"
	defaultMediaStore = "/data/media_store"
	// retryFor outlasts the restart of a large server.
	retryFor = 2 * time.Minute
)

// Input is all that a configuration is made of. Only the connection string reaches further: the PostgreSQL driver reads
// the PG* variables of the process, and files that they or the string name.
type Input struct {
	// Args are the arguments without the program's name.
	Args []string
	// LookupEnv reads a variable, as os.LookupEnv does.
	LookupEnv func(string) (string, bool)
	// DataDir is where Synapse's container image has its data: a homeserver.yaml in it is found by itself. Empty: none is.
	DataDir string
	// Now is the local clock. It decides of warnings only: what an age means is a matter of the database's, see CheckAges.
	Now time.Time
	// Stdout takes what help and version print.
	Stdout io.Writer
}

// Parse reads arguments and environment. For commands that speak to a server it returns a valid Config; help and version
// are done when it returns, and the Config is nil. The error is of type Errors for everything that the user can put right.
func Parse(in Input) (*Config, Command, error) {
	a := arrange(in.Args)
	spec, _ := specOfCommand(a.command)
	if (!spec.connects || a.unknownCommand) && len(a.problems) > 0 {
		return nil, a.command, a.problems
	}
	toCLI := a
	toCLI.positionals = nil // cli need not see a secret
	found, err := runCLI(toCLI, in.Stdout, printVersion)
	if err != nil {
		// arrange let only known flags through, each in its proper form; what cli says may hold a value.
		return nil, a.command, errors.New("the arguments were not understood; synupkeep help lists what is")
	}
	if !spec.connects {
		return nil, a.command, nil
	}
	r := &reader{in: in, command: spec, problems: a.problems, secrets: slices.Clone(a.positionals)}
	r.collect(found)
	var cfg *Config
	if a.command == CommandHealth {
		cfg = r.health()
	} else {
		cfg = r.config(a)
	}
	if err := r.problems.orNil(); err != nil {
		return nil, a.command, err
	}
	return cfg, a.command, nil
}

func (r *reader) config(a arrangement) *Config {
	cfg := &Config{Command: r.command.command}
	r.hasConnectionArgument = len(a.positionals) > 0
	r.readHomeserver(cfg)
	r.readPostgres(cfg, a.positionals)
	r.readToken(cfg, a.positionals)
	cfg.APIURL = r.apiURL()
	cfg.MediaStore = r.path("media-store", defaultMediaStore)
	via := Via(r.oneOf("media-via", string(ViaDisk), string(ViaDisk), string(ViaAPI)))
	cfg.StateDir = r.path("state-dir", r.defaultStateDir(cfg.MediaStore, via))

	cfg.Flows = r.flows()
	if via == ViaAPI {
		cfg.Flows = r.withoutDisk(cfg.Flows)
	}
	if cfg.StateDir == "" && slices.Contains(cfg.Flows, item.LocalMedia) {
		r.warn("without --state-dir nothing is remembered: each run reads all events anew to see which local media they show")
	}
	r.readAges(cfg, a.bare || r.inContainer())
	r.readDrift(cfg, via)
	r.readHistory(cfg)
	r.readMedia(cfg)
	cfg.Media.Via = via
	r.readAppServices(cfg)
	cfg.Max = r.maxima()
	cfg.MaxDuration = r.duration("max-duration", 0, 0)

	cfg.RetryFor = r.duration("retry-for", retryFor, 0)
	cfg.Level = r.level()
	cfg.LogFormat = r.oneOf("log-format", logging.Text, logging.Text, logging.JSON)
	cfg.Quiet = r.truth("quiet", false)
	r.readOutput(cfg)
	r.readCron(cfg)
	cfg.Warnings = r.warnings
	return cfg
}

func (r *reader) readOutput(cfg *Config) {
	cfg.JSON = r.truth("json", false)
	cfg.Report = r.path("report", "")
	cfg.HTML = r.path("html", "")
	cfg.Outcomes = r.path("outcomes", "")
	cfg.Metrics = r.path("metrics", "")
	cfg.Ping = r.pingURL(cfg)
	cfg.Out = r.path("out", "")
	cfg.Plan = r.path("plan", "")
	cfg.Top = r.whole("top", 10, 1, 10000)
	cfg.Yes = r.truth("yes", false)
	r.checkFiles(cfg)
}

// checkFiles refuses one file for two purposes: the last to be written would be all that is left.
func (r *reader) checkFiles(cfg *Config) {
	purposes := map[string]string{}
	for _, file := range []struct{ flag, path string }{
		{"plan", cfg.Plan}, {"out", cfg.Out}, {"report", cfg.Report}, {"html", cfg.HTML}, {"outcomes", cfg.Outcomes}, {"metrics", cfg.Metrics},
	} {
		if file.path == "" {
			continue
		}
		if other, taken := purposes[file.path]; taken {
			r.problem(r.settings[file.flag].source, file.path, "is also given with --"+other, "a file of its own")
		}
		purposes[file.path] = file.flag
	}
}

func (r *reader) readHistory(cfg *Config) {
	cfg.History = History{
		Rooms:         r.rooms("room"),
		NotRooms:      r.rooms("not-room"),
		InFlight:      r.whole("purge-concurrency", 3, 1, 5),
		RatePerMinute: r.rate("purge-rate"),
		Timeout:       r.duration("purge-timeout", time.Hour, time.Second),
		Limit:         r.whole("limit-rooms", 0, 0, maxLimit),
		GapGrace:      r.duration("gap-grace", 3*day, 0),
		ReportHold:    r.duration("report-hold", 14*day, 0),
		KeepPinned:    r.truth("keep-pinned", false),
	}
	for _, room := range cfg.History.Rooms {
		if slices.Contains(cfg.History.NotRooms, room) {
			r.problem(r.settings["not-room"].source, room, "is also given with "+r.settings["room"].source, "one of the two")
		}
	}
	if cfg.History.InFlight > 4 {
		r.warn("5 purges at once take every place that Synapse has for background work: other purges, room deletions and " +
			"media tasks wait until they end")
	}
	if len(cfg.History.Rooms) > 0 && r.command.deletes() && !slices.Equal(cfg.Flows, []item.Flow{item.History}) {
		r.warn("--room restricts the history only: the other flows (" + joinFlows(cfg.Flows) + ") cover the whole server. " +
			"Add --only history to leave the media alone")
	}
}

func (r *reader) readMedia(cfg *Config) {
	users := r.globs("keep-user", userGlob)
	cfg.Media = Media{
		KeepBridged:         slices.Contains(users, keepBridges),
		KeepUsers:           slices.DeleteFunc(users, func(glob string) bool { return glob == keepBridges }),
		KeepMedia:           r.globs("keep-media", mediaGlob),
		KeepTypes:           r.globs("keep-type", typeGlob),
		DeleteConcurrency:   r.whole("delete-concurrency", 4, 1, 64),
		BatchSize:           r.whole("batch-size", 1000, 1, 10000),
		Limit:               r.whole("limit-media", 0, 0, maxLimit),
		DeleteOfDeadServers: r.oneOf("remote-dead", "keep", "keep", "delete") == "delete",
		KeepShown:           r.truth("keep-shown", true),
	}
}

func joinFlows(flows []item.Flow) string {
	names := make([]string, len(flows))
	for i, flow := range flows {
		names[i] = string(flow)
	}
	return strings.Join(names, ", ")
}
