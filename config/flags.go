package config

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

type flagKind int

const (
	single   flagKind = iota // takes a value, once
	repeated                 // takes a value, as often as wanted
	truth                    // takes none
)

// flagSpec describes a flag. The same table parses the arguments, reads the environment and writes the help.
type flagSpec struct {
	name, alias string
	kind        flagKind
	oldVariable string // of 1.0.0, where it is not the name's own
	commands    []Command
	usage       string // the word in `back quotes` stands for the value
	fallback    string // as the help shows it
}

// variables are the environment variables of the flag, the one of 1.0.0 last.
func (f flagSpec) variables() []string {
	names := []string{"SYNUPKEEP_" + strings.ToUpper(strings.ReplaceAll(f.name, "-", "_"))}
	if f.oldVariable != "" {
		names = append(names, f.oldVariable)
	}
	return names
}

// flagSpecs lists the flags of all commands.
func flagSpecs() []flagSpec {
	run, plan, usage, doctor, repair, cron, token, health := CommandRun, CommandPlan, CommandUsage, CommandDoctor,
		CommandRepair, CommandCron, CommandToken, CommandHealth
	return slices.Concat(
		of(databaseFlag(), run, plan, usage, doctor, repair, cron),
		of(apiFlags(), run, plan, usage, doctor, repair, cron, token),
		of(storeFlag(), run, plan, usage, doctor, repair, cron),
		of(homeserverFlag(), run, plan, usage, doctor, repair, cron, token),
		of(ageFlags(), run, plan, doctor, cron),
		of(choiceFlags(), run, plan, doctor, cron),
		of(roomFlag(), run, plan, doctor, repair, cron),
		of(paceFlags(), run, plan, doctor, cron),
		of(limitFlags(), run, plan, doctor, cron),
		of(logFlags(), run, plan, usage, doctor, repair, cron, token),
		of(jsonFlag(), run, plan, usage, doctor, repair, cron, CommandVersion),
		of(stateFlag(), run, plan, doctor, cron),
		of(topFlag(), run, plan, usage, cron),
		of(fileFlags(), run, plan, usage, cron),
		of(planFileFlag(), run),
		of(runFlags(), run, cron),
		of(cronFlags(), cron),
		of(listenFlag(), cron, health),
		of(planFlags(), plan),
		of(repairFlags(), repair),
		of(tokenFlags(), token),
	)
}

// of gives flags to commands.
func of(specs []flagSpec, commands ...Command) []flagSpec {
	for i := range specs {
		specs[i].commands = commands
	}
	return specs
}

func databaseFlag() []flagSpec {
	return []flagSpec{{
		name: "postgres", oldVariable: "SYNUPKEEP_POSTGRES_CONNECTION_STRING",
		usage: "`CONNECTION` to Synapse's database, a URL or in keyword form; PG* variables and ~/.pgpass complete it",
	}}
}

func apiFlags() []flagSpec {
	return []flagSpec{
		{name: "token-file", oldVariable: tokenVariable + "_FILE", usage: "`FILE` that holds an admin's access token (the token itself: " + tokenVariable + ")"},
		{
			name: "api-url", alias: "a", oldVariable: "SYNUPKEEP_SYNAPSE_API_URL", fallback: defaultAPIURL,
			usage: "`URL` of the homeserver's admin API, without /_synapse",
		},
	}
}

func storeFlag() []flagSpec {
	return []flagSpec{{
		name: "media-store", alias: "m", oldVariable: "SYNUPKEEP_MEDIA_STORE_PATH", fallback: defaultMediaStore,
		usage: "`DIRECTORY` that Synapse's media_store_path names",
	}}
}

func homeserverFlag() []flagSpec {
	return []flagSpec{{
		name: "homeserver-config", kind: repeated,
		usage: "`FILE` that is Synapse's homeserver.yaml, or a directory of such: what is not given otherwise of the database, the media " +
			"store and the URL is taken from it (default: $" + homeserverVariable + ", or /data/homeserver.yaml if there is one)",
	}}
}

func ageFlags() []flagSpec {
	return []flagSpec{
		{
			name: "delta", alias: "d",
			usage: "delete what is older than this `AGE`: seconds, or 12h, 30d, 2w, 1y (default without the command run, and in the container image: 86400)",
		},
		{name: "before", usage: "delete what is older than this `TIME` instead: a date (its midnight in UTC) or an RFC 3339 time"},
		{name: "history-delta", usage: "`AGE` for the history of rooms"},
		{name: "local-media-delta", usage: "`AGE` for local media"},
		{name: "remote-media-delta", usage: "`AGE` for cached remote media, counted from the last access"},
		{name: "preview-delta", usage: "`AGE` for URL previews"},
	}
}

func choiceFlags() []flagSpec {
	return []flagSpec{
		{name: "only", kind: repeated, usage: "do these `FLOWS` only: history, local-media, remote-media, previews (these four unless others are named), drift"},
		{name: "skip", kind: repeated, usage: "do not do these `FLOWS`"},
		{name: "not-room", kind: repeated, usage: "never purge the history of this `ROOM`"},
		{name: "keep-user", kind: repeated, usage: "keep local media of users that fit this `GLOB`, such as @*:example.org; or of all users of application services (bridges)"},
		{name: "keep-media", kind: repeated, usage: "keep local media whose id fits this `GLOB`"},
		{name: "keep-type", kind: repeated, usage: "keep local media whose MIME type fits this `GLOB`, such as image/*"},
		{
			name: "keep-shown", kind: truth, fallback: "true",
			usage: "keep local media that a message or another event still shows; --keep-shown=false lets it go by age",
		},
		{name: "keep-pinned", kind: truth, usage: "cut the history of a room below its lowest pinned message"},
		{
			name: "remote-dead", fallback: "keep",
			usage: "keep or delete (`CHOICE`) remote media of servers that have not answered for a week",
		},
		{
			name: "drift", fallback: "report",
			usage: "what to do about drift (`CHOICE`): report, delete, or a list of what is to be deleted: " + driftWords(),
		},
		{name: "drift-grace", fallback: "24h", usage: "`AGE` below which a file is an upload under way, and no drift"},
	}
}

func roomFlag() []flagSpec {
	return []flagSpec{{name: "room", kind: repeated, usage: "this `ROOM` only, an id or an alias (the media flows cover the whole server all the same)"}}
}

func paceFlags() []flagSpec {
	return []flagSpec{
		{name: "purge-concurrency", fallback: "3", usage: "`NUMBER` of purges at once, 1 to 5"},
		{name: "purge-rate", fallback: "0", usage: "`NUMBER` of purges begun a minute at most, 0 for no limit"},
		{name: "retry-for", fallback: "120", usage: "`DURATION` for which a server that does not answer is waited for"},
		{name: "purge-timeout", fallback: "1h", usage: "`DURATION` after which a purge is not waited for any longer"},
		{name: "gap-grace", fallback: "72h", usage: "`DURATION` for which a room with a young gap in its history waits"},
		{name: "report-hold", fallback: "14d", usage: "`DURATION` for which an abuse report keeps the reported event"},
		{name: "media-via", fallback: "disk", usage: "delete media on disk, or api (`WAY`): through Synapse, without its media store; then no previews"},
		{name: "delete-concurrency", fallback: "4", usage: "`NUMBER` of files deleted at once, 1 to 64"},
		{name: "batch-size", fallback: "1000", usage: "`NUMBER` of media rows a transaction deletes at most, 1 to 10000"},
		{name: "limit-rooms", fallback: "0", usage: "stop after this `NUMBER` of purges, 0 for no limit"},
		{name: "limit-media", fallback: "0", usage: "stop each media flow after this `NUMBER` of items, 0 for no limit"},
		{name: "max-duration", fallback: "0", usage: "`DURATION` after which no new work is begun, 0 for no limit"},
	}
}

// limitFlags are those that refuse a run.
func limitFlags() []flagSpec {
	return []flagSpec{
		{name: "max-rooms", fallback: "0", usage: "refuse a run that would purge more than this `NUMBER` of rooms, or than 10% of them; 0 for no limit"},
		{name: "max-media", fallback: "0", usage: "refuse a run that would delete more than this `NUMBER` of media, or than 10% of a flow's; 0 for no limit"},
		{name: "max-bytes", fallback: "0", usage: "refuse a run that would delete more than this `SIZE` of media, such as 50GiB (GB are of 1000), or than 10% of a flow's; 0 for no limit"},
	}
}

func logFlags() []flagSpec {
	return []flagSpec{
		{
			name: "logging-level", alias: "l", fallback: "INFO",
			usage: "`LEVEL` of the log: CRITICAL, ERROR, WARNING, SUCCESS, INFO, DEBUG, TRACE",
		},
		{name: "log-format", fallback: "text", usage: "`FORMAT` of the log: text or json"},
		{name: "quiet", kind: truth, usage: "log errors only, show no progress"},
	}
}

func jsonFlag() []flagSpec {
	return []flagSpec{{name: "json", kind: truth, usage: "write what came of it as JSON to stdout"}}
}

func stateFlag() []flagSpec {
	return []flagSpec{{
		name:  "state-dir",
		usage: "`DIRECTORY` for what the next run has to know (default: $STATE_DIRECTORY, $XDG_STATE_HOME/synupkeep, or .synupkeep in the media store; none with --media-via api)",
	}}
}

func topFlag() []flagSpec {
	return []flagSpec{{name: "top", fallback: "10", usage: "name this `NUMBER` of rooms, users, servers and types, those with the most, 1 to 10000"}}
}

func fileFlags() []flagSpec {
	return []flagSpec{
		{name: "report", usage: "write what came of it as JSON to this `FILE`"},
		{name: "html", usage: "write it to this `FILE` as a page with plots"},
	}
}

func planFileFlag() []flagSpec {
	return []flagSpec{{name: "plan", usage: "carry out the plan in this `FILE`, which synupkeep plan --out wrote, and nothing beyond it"}}
}

func cronFlags() []flagSpec {
	return []flagSpec{
		{
			name: "schedule", oldVariable: "SYNUPKEEP_DOCKER_CRON_SCHEDULE", fallback: defaultSchedule,
			usage: "`TIMES` to run at: minute, hour, day of the month, month, day of the week, as cron has them; or @daily and the like",
		},
		{name: "jitter", fallback: "0", usage: "`DURATION` of which a part, at random, is waited for each time, so that not all servers begin at once"},
		{name: "run-now", kind: truth, usage: "run once at the begin, too"},
	}
}

func listenFlag() []flagSpec {
	return []flagSpec{{
		name: "listen",
		usage: "`ADDRESS` such as 127.0.0.1:9464 at which cron answers /health (200 if the last run ended well, else 503) and /metrics, and health asks " +
			"(default for health: " + defaultListen + ")",
	}}
}

func runFlags() []flagSpec {
	return []flagSpec{
		{name: "outcomes", usage: "write a line of JSON to this `FILE` for each item that is deleted, fails, is left or skipped; .gz compresses it"},
		{name: "metrics", usage: "write a text `FILE` for the node exporter of Prometheus"},
		{name: "ping", usage: "`URL` that is told when a run begins (/start), when it ends with exit code 0, and when with another (/fail), as by healthchecks.io"},
	}
}

func planFlags() []flagSpec {
	return []flagSpec{{name: "out", usage: "write the plan to this `FILE`, for run --plan"}}
}

func repairFlags() []flagSpec {
	return []flagSpec{{name: "yes", kind: truth, usage: "repair without asking"}}
}

func tokenFlags() []flagSpec {
	return []flagSpec{
		{name: "user", usage: "`USER` who is a server admin, by name or id (default with --register: synupkeep)"},
		{name: "register", kind: truth, usage: "make this user anew, with the server's registration secret"},
		{name: "if-needed", kind: truth, usage: "do nothing where the file holds the token of a server admin already"},
	}
}

// cliFlag is the flag for cli. The variables stand in the usage text only: cli would read them from the process.
func (f flagSpec) cliFlag() cli.Flag {
	var aliases []string
	if f.alias != "" {
		aliases = []string{f.alias}
	}
	usage := f.usage
	if f.fallback != "" {
		usage += " (default: " + f.fallback + ")"
	}
	usage += " [$" + strings.Join(f.variables(), ", $") + "]"
	switch f.kind {
	case truth:
		return &cli.BoolFlag{Name: f.name, Aliases: aliases, Usage: usage, DisableDefaultText: true}
	case repeated:
		return &cli.StringSliceFlag{Name: f.name, Aliases: aliases, Usage: usage, KeepSpace: true}
	case single:
	}
	return &cli.StringFlag{Name: f.name, Aliases: aliases, Usage: usage}
}
