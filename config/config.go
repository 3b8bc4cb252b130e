// Package config turns arguments and environment into one validated Config. All that is wrong is reported at once, each
// problem with its flag, its value and what is accepted. Secrets are of type Secret and print as stars.
package config

import (
	"time"

	"synupkeep/internal/homeserver"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
)

// Config is everything that a run needs to know. It is complete and valid when it leaves this package.
type Config struct {
	// Command is what is to be done.
	Command Command
	// Postgres is the connection string, a URL or in keyword form; what it leaves out comes from the PG* variables and
	// ~/.pgpass.
	Postgres Secret
	// APIURL is the base of the admin API, with its scheme, without a trailing slash.
	APIURL string
	Token  Token
	// MediaStore is the directory that Synapse's media_store_path names.
	MediaStore string
	// StateDir is where a run keeps what the next one has to know. It is empty where there is no such place, which may be
	// with ViaAPI only.
	StateDir string

	// Flows are those that run, in the order of item.Flows.
	Flows []item.Flow
	Ages  map[item.Flow]Age

	History History
	Media   Media
	Drift   Drift
	// Max refuses a run, before its first delete, whose plan is larger.
	Max Maxima
	// MaxDuration is how long a run begins new work, 0 for no limit.
	MaxDuration time.Duration

	// User is whose token CommandToken gets, Register the secret with which it makes that user first, or empty.
	User     string
	Register Secret
	// IfNeeded says that CommandToken leaves a token that works as it is.
	IfNeeded bool

	// Synapse is Synapse's own configuration, nil where none was found.
	Synapse *homeserver.Config

	// AppServices are those whose registration files were found and could be read.
	AppServices []homeserver.AppService

	// Cron is set with CommandCron.
	Cron Cron

	// RetryFor is how long a server that does not answer is waited for.
	RetryFor time.Duration

	Level     logging.Level
	LogFormat string // text or json
	Quiet     bool
	JSON      bool   // the summary as JSON on stdout
	Report    string // a file for the same, or empty
	HTML      string // a file for it as a page, or empty
	Outcomes  string // a file for what became of each item, a line of JSON each, or empty
	Metrics   string // a text file for Prometheus, or empty
	Ping      Secret // the URL that is told of begin and end, or empty: whoever knows it can say so as well
	Top       int    // how many rooms, users, servers and types are named
	Out       string // the file that a plan is written to, or empty
	Plan      string // the file of the plan that is carried out, or empty
	Yes       bool   // repair without asking

	// Warnings are what the operator should know of this configuration; whoever has the logger prints them.
	Warnings []string

	origins map[item.Flow]ageOrigin
	hidden  []Secret
}

// LogLevel is the level of the log: Level, or errors only with --quiet.
func (c *Config) LogLevel() logging.Level {
	if c.Quiet {
		return min(c.Level, logging.LevelError)
	}
	return c.Level
}

// Secrets are the texts that must appear in nothing that is written, for logging.Logger.Hide. Of a token file it
// is what it held then: whoever reads it again hides what it holds now.
func (c *Config) Secrets() []string {
	texts := make([]string, len(c.hidden))
	for i, secret := range c.hidden {
		texts[i] = secret.Reveal()
	}
	return texts
}

// Age says up to when a flow deletes: everything older than Delta, or everything before Before. One of them is set.
type Age struct {
	Delta  time.Duration
	Before time.Time
}

// CutOff is the point in time below which the flow deletes, for a run that begins at now.
func (a Age) CutOff(now time.Time) time.Time {
	if !a.Before.IsZero() {
		return a.Before
	}
	return now.Add(-a.Delta)
}

// History is the configuration of the history flow.
type History struct {
	Rooms, NotRooms []string // ids or aliases; Rooms empty means all
	InFlight        int      // purges of ours at once
	RatePerMinute   float64  // purges begun a minute, 0 for no limit
	Timeout         time.Duration
	Limit           int // purges at most, 0 for no limit
	GapGrace        time.Duration
	ReportHold      time.Duration
	KeepPinned      bool // the cut stays below every pinned message
}

// Media is the configuration of the three media flows.
type Media struct {
	KeepUsers, KeepMedia, KeepTypes []string // globs
	KeepBridged                     bool     // the local media of every user of AppServices
	DeleteConcurrency               int      // files at once
	BatchSize                       int      // rows a transaction, at most
	Limit                           int      // items of each flow at most, 0 for no limit
	DeleteOfDeadServers             bool     // --remote-dead delete
	KeepShown                       bool     // media that a kept event shows stays
	Via                             Via
}

// Drift is the configuration of the drift flow. Files younger than its age are uploads under way.
type Drift struct {
	// Delete are the findings that are deleted; all others are told of.
	Delete []item.Reason
	// UploadLifetime is how long Synapse lets somebody upload to an id that it gave out (unused_expiration_time).
	UploadLifetime time.Duration
}

// Via is how media is deleted.
type Via string

// ViaDisk deletes rows and files itself; ViaAPI asks Synapse to, for want of its disk.
const (
	ViaDisk Via = "disk"
	ViaAPI  Via = "api"
)

// Maxima are the largest plan that may be run.
type Maxima struct {
	Rooms Max // rooms purged
	Media Max // media deleted: of all flows together, or percent of what a flow has
	Bytes Max // bytes of media deleted, as the database has their sizes; like Media
}

// Any says whether there is any limit.
func (m Maxima) Any() bool { return m != Maxima{} }

// Max is a number or a percentage; neither is no limit.
type Max struct {
	Count   int64
	Percent float64
}
