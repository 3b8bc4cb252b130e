package config

import (
	"net"
	"strconv"
	"time"

	"synupkeep/internal/logging"
	"synupkeep/internal/schedule"
)

// defaultSchedule is that of the container of 1.0.0.
const defaultSchedule = "0 4 * * *"

// defaultListen is where CommandHealth asks.
const defaultListen = "127.0.0.1:9464"

// Cron is the configuration of CommandCron, and of CommandHealth, which has Listen only.
type Cron struct {
	Schedule *schedule.Schedule
	Jitter   time.Duration
	RunNow   bool
	// Listen is the address that answers /health and /metrics, or empty.
	Listen string
}

func (r *reader) readCron(cfg *Config) {
	if cfg.Command != CommandCron {
		return
	}
	cfg.Cron = Cron{Schedule: r.schedule(), Jitter: r.duration("jitter", 0, 0), RunNow: r.truth("run-now", false), Listen: r.address("listen")}
}

// health is the configuration of CommandHealth: nothing else is read, a check must not fail for what a run is told.
func (r *reader) health() *Config {
	listen := r.address("listen")
	if listen == "" {
		listen = defaultListen
	}
	return &Config{Command: CommandHealth, Level: logging.LevelInfo, LogFormat: logging.Text, Cron: Cron{Listen: listen}}
}

// schedule reads the times in the zone of TZ. A zone that is not known would pass for UTC.
func (r *reader) schedule() *schedule.Schedule {
	text, source, given := r.single("schedule")
	if !given {
		text = defaultSchedule
	}
	zone := time.Local
	if name := r.env("TZ"); name != "" && name[0] != ':' && name[0] != '/' {
		var err error
		if zone, err = time.LoadLocation(name); err != nil {
			r.problem("TZ", name, "is not a time zone", "a name such as Europe/Berlin, or UTC")
			return nil
		}
	}
	s, err := schedule.Parse(text, zone)
	if err != nil {
		r.problem(source, text, "is not a schedule", err.Error())
	}
	return s
}

func (r *reader) address(name string) string {
	value, source, given := r.single(name)
	if !given {
		return ""
	}
	_, port, err := net.SplitHostPort(value)
	if n, notNumber := strconv.ParseUint(port, 10, 16); err != nil || notNumber != nil || n == 0 {
		r.problem(source, value, "is not such an address", "host:port, such as 127.0.0.1:9464, or :9464 for every address")
		return ""
	}
	return value
}
