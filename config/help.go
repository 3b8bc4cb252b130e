package config

// What help prints of each command. Lines end before column 120.

const usageText = `synupkeep run [flags] [postgres_connection_string [synapse_auth_token]]
synupkeep plan | usage | doctor | repair rooms | cron | token [flags] [...]
synupkeep [flags] [postgres_connection_string [synapse_auth_token]]
synupkeep completion bash|zsh|fish
synupkeep version [--json]
synupkeep help [command]`

const description = `synupkeep keeps a Synapse homeserver small: run deletes history of rooms, local media, cached remote media and URL
previews that are older than --delta or --before. It cannot be undone: plan shows before what would go, usage what there
is, doctor whether all is as it should be.

Without a command it does the same as run, with --delta 86400 if nothing else is said, as synupkeep 1.0.0 did. The flags
below are those of run; "synupkeep help COMMAND" has those of the others.

` + sayingThings

// sayingThings is true of every command.
const sayingThings = `Flags and arguments may stand in any order. Each flag can be given as the variable in brackets, several values of one
variable separated by spaces. Arguments win over the environment, an empty variable counts as unset, two variables of one
flag must not contradict each other. An argument is visible to every user of the machine: give a password and a token
through the environment, ~/.pgpass or --token-file. Results go to stdout, errors and the log to stderr.`

const completionDescription = `completion prints a script that completes commands, flags and values:

  bash   source <(synupkeep completion bash), in ~/.bashrc
  zsh    synupkeep completion zsh > a file _synupkeep in a directory of $fpath
  fish   synupkeep completion fish > ~/.config/fish/completions/synupkeep.fish

The packages bring all three.`

const runDescription = `run deletes history of rooms, local media, cached remote media and URL previews that are older than --delta or
--before, and says what it did. It cannot be undone. While it runs, SIGUSR1 makes it say how far it is.

` + sayingThings

func runExamples() []string {
	return []string{
		"synupkeep run --delta 90d --limit-rooms 10 --limit-media 100      # a gentle first night",
		"synupkeep run --delta 30d --remote-media-delta 7d --max-media 10% --max-duration 4h --report last.json",
		"synupkeep run --delta 30d --plan plan.json                        # what synupkeep plan wrote, and nothing beyond it",
	}
}

const runExitCodes = `  0         all done
  1         could not do its work (server or database not reachable, schema refused, internal error)
  2         wrong usage or configuration
  3         done, but some items failed: the report names them
  10        time budget or limit used up, work left for the next run
  11        another run holds the lock
  12        token rejected or not an admin's
  13        refused: larger than the limits allow, or the database or the media store is not the server's, or the store not
            ours to delete in, or the plan is not one of this server, of this configuration or of these days
  130, 143  interrupted by SIGINT, SIGTERM; report written`

const planDescription = `plan does what run does with the same flags, but deletes nothing: what it counts is what the next run deletes, as long
as nothing changes on the server. It writes nothing to the database and nothing to the media store.

` + sayingThings

func planExamples() []string {
	return []string{
		"synupkeep plan --delta 90d                       # what would go, what stays and why, and what to know before",
		"synupkeep plan --delta 90d --json | jq '.flows[] | {flow, done, bytes_freed}'",
		"synupkeep plan --delta 90d --out plan.json       # to be read by somebody, then: synupkeep run --delta 90d --plan plan.json",
	}
}

const planExitCodes = `  0         the plan is whole, whatever is in it
  1         could not do its work (server or database not reachable, schema refused, internal error)
  2         wrong usage or configuration
  3         the plan is whole, but some items cannot be deleted: it names them
  12        token rejected or not an admin's
  13        run would be refused: larger than the limits allow, or the database or the media store is not the server's
  130, 143  interrupted by SIGINT, SIGTERM`

const usageDescription = `usage shows what uses the space: history by room, media by room, user, server, type and age, the tables of the database,
and for cut-offs from a day to five years how much would go. It changes nothing, and needs no token.

` + sayingThings

func usageExamples() []string {
	return []string{
		"synupkeep usage                                  # with SYNUPKEEP_POSTGRES_CONNECTION_STRING set",
		"synupkeep usage --top 50 'host=/run/postgresql dbname=synapse user=synapse'",
		"synupkeep usage --json --top 1000 | jq .",
	}
}

const lookExitCodes = `  0         all done
  1         could not do its work (database not reachable, schema refused, internal error), or a part of it: the output
            names the part, and everything else is shown
  2         wrong usage or configuration
  130, 143  interrupted by SIGINT, SIGTERM`

const doctorDescription = `doctor checks whether the server is healthy and whether synupkeep is set up right for it: give it what run is given. Each
check ends in ok, warning or failure, with what that means and what to do about it. It changes nothing.

` + sayingThings

func doctorExamples() []string {
	return []string{
		"synupkeep doctor                                 # with the variables of the nightly run",
		"synupkeep doctor --delta 30d --only history      # what this run needs, and which rooms could never be cut by it",
		"synupkeep doctor --json | jq '.checks[] | select(.result != \"ok\")'",
	}
}

const doctorExitCodes = `  0         no check failed; there may be warnings
  2         wrong usage or configuration
  3         a check failed
  130, 143  interrupted by SIGINT, SIGTERM`

const repairDescription = `repair rooms mends rooms in which nobody can send any more, because an earlier purge made an outlier of what the next event
must point to. It shows them and what it would do, asks before each (--yes: does not ask), mends one at a time where that
is safe, and sees that the room takes a message again. What it cannot mend safely it names.

` + sayingThings

func repairExamples() []string {
	return []string{
		"synupkeep repair rooms                           # shows, asks, repairs",
		"synupkeep repair rooms --room '!abc:example.org'",
		"synupkeep repair rooms --yes --json              # in a job",
	}
}

const repairExitCodes = `  0         no room is broken any more
  1         could not do its work (server or database not reachable, schema refused, internal error)
  2         wrong usage or configuration
  3         some rooms are still broken: the output names them
  11        a run is at work
  12        token rejected or not an admin's
  130, 143  interrupted by SIGINT, SIGTERM`

const cronDescription = `cron stays, and does what run does at the times of --schedule, one run after the other: what falls due while one is at
work is passed over. The times are those of the clock of TZ; where it is put forward or back no run is lost or doubled.
SIGTERM lets a run under way finish what it is at, as it does for run.

` + sayingThings

func cronExamples() []string {
	return []string{
		"synupkeep cron --delta 90d                                     # every night at four",
		"synupkeep cron --delta 90d --schedule '30 2 * * mon-fri' --jitter 1h",
		"synupkeep cron --delta 90d --run-now --listen 127.0.0.1:9464   # and answer /health and /metrics",
	}
}

const cronExitCodes = `  0         stopped by SIGINT or SIGTERM while no run was at work
  1         could not go on (its port is taken)
  2         wrong usage or configuration
  130, 143  stopped by SIGINT, SIGTERM during a run, which ended for that; its report is written`

const healthDescription = `health asks the synupkeep cron of this machine, or of this container, at its --listen address, and prints what it answers:
whether the last run ended well, when it was and when the next one is. It is made for the health check of a container, in
which there is no other program.`

func healthExamples() []string {
	return []string{
		"synupkeep health                           # of synupkeep cron --listen 127.0.0.1:9464",
		"synupkeep health --listen 127.0.0.1:9000",
		"synupkeep health --listen :9464            # as cron has it, for every address of the machine",
	}
}

const healthExitCodes = `  0         the last run ended well, or none has ended yet
  1         it did not, or the next one is overdue, or nobody answers
  2         wrong usage or configuration
  130, 143  interrupted by SIGINT, SIGTERM`

const tokenDescription = `token gets the access token of a server admin and writes it to a file of mode 0600, for --token-file. It logs in as --user
with a password that it asks for, which is no argument because every user of the machine can see those; or, with
--register, makes a new admin with the server's registration_shared_secret (from Synapse's homeserver.yaml or
SYNUPKEEP_REGISTRATION_SHARED_SECRET), whose password nobody knows. Where Matrix Authentication Service gives out the
tokens it says how to get one there.

` + sayingThings

func tokenExamples() []string {
	return []string{
		"synupkeep token --user @admin:example.org --token-file /etc/synupkeep/token",
		"synupkeep token --register --token-file token                 # a new admin called synupkeep",
		"synupkeep token --api-url https://matrix.example.org --user admin --token-file token < password",
	}
}

const tokenExitCodes = `  0         the token is in the file
  1         could not do its work (server not reachable, it gives out no tokens)
  2         wrong usage or configuration
  12        the password is wrong, or the user no server admin
  130, 143  interrupted by SIGINT, SIGTERM`
