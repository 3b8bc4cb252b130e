package config

import (
	"io"
	"strconv"

	"github.com/urfave/cli/v2"
)

const usageText = `synupkeep run [flags] [postgres_connection_string [synapse_auth_token]]
synupkeep [flags] [postgres_connection_string [synapse_auth_token]]
synupkeep version
synupkeep help [command]`

const description = `synupkeep deletes what a Synapse homeserver no longer needs: history of rooms, local media, cached remote media and
URL previews that are older than --delta or --before. It cannot be undone.

Without a command it does the same as run, with --delta 86400 if nothing else is said, as synupkeep 1.0.0 did. Flags and
arguments may stand in any order. Each flag can be given as the variable in brackets, several values of one variable
separated by spaces. Arguments win over the environment, an empty variable counts as unset, two variables of one flag must
not contradict each other. An argument is visible to every user of the machine: give a password and a token through the
environment, ~/.pgpass or --token-file.

Exit codes:
  0         all done
  1         could not do its work (server or database not reachable, schema refused, internal error)
  2         wrong usage or configuration
  3         done, but some items failed: the report names them
  10        time budget or limit used up, work left for the next run
  11        another run holds the lock
  12        token rejected or not an admin's
  13        refused: larger than the limits allow, or the database or the media store is not the server's, or the store not
            ours to delete in
  130, 143  interrupted by SIGINT, SIGTERM; report written`

// gathered is what cli read from the arguments: the flags that were given, by name.
type gathered map[string][]string

// runCLI hands arranged arguments to cli, which prints what is asked of it and fills found for a run.
func runCLI(a arrangement, stdout io.Writer, version func(io.Writer) error) (gathered, error) {
	found := gathered{}
	app := newApp(stdout, func(c *cli.Context) error {
		found.read(c)
		return nil
	}, version)
	args := []string{app.Name, string(a.command)}
	if a.command == CommandHelp && a.topic != "" {
		args = append(args, string(a.topic))
	}
	if a.command == CommandRun {
		args = append(append(append(args, a.flags...), "--"), a.positionals...)
	}
	return found, app.Run(args)
}

func newApp(stdout io.Writer, run cli.ActionFunc, version func(io.Writer) error) *cli.App {
	var flags []cli.Flag
	for _, spec := range flagSpecs() {
		flags = append(flags, spec.cliFlag())
	}
	usageError := func(_ *cli.Context, err error, _ bool) error { return err }
	return &cli.App{
		Name:        "synupkeep",
		Usage:       "keeps a Matrix Synapse homeserver small",
		UsageText:   usageText,
		Description: description,
		Flags:       flags,
		Commands: []*cli.Command{
			{
				Name: string(CommandRun), Usage: "delete what is old", HideHelpCommand: true,
				UsageText:    "synupkeep run [flags] [postgres_connection_string [synapse_auth_token]]",
				Flags:        flags,
				OnUsageError: usageError,
				Action:       run,
			},
			{
				Name: string(CommandVersion), Usage: "print the version", HideHelpCommand: true,
				UsageText: "synupkeep version",
				Action:    func(*cli.Context) error { return version(stdout) },
			},
			{
				Name: string(CommandHelp), Usage: "print this text, or that of a command", HideHelpCommand: true,
				UsageText: "synupkeep help [command]",
				Action:    help,
			},
		},
		HideHelpCommand:           true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true,
		Writer:                    stdout,
		ErrWriter:                 stdout,
		OnUsageError:              usageError,
		// The default handler ends the process on some errors; only main does that.
		ExitErrHandler: func(*cli.Context, error) {},
	}
}

func help(c *cli.Context) error {
	program := c.Lineage()[1]
	if topic := c.Args().First(); topic != "" {
		return cli.ShowCommandHelp(program, topic)
	}
	return cli.ShowAppHelp(program)
}

func (g gathered) read(c *cli.Context) {
	for _, spec := range flagSpecs() {
		if !c.IsSet(spec.name) {
			continue
		}
		switch spec.kind {
		case single:
			g[spec.name] = []string{c.String(spec.name)}
		case repeated:
			g[spec.name] = c.StringSlice(spec.name)
		case truth:
			g[spec.name] = []string{strconv.FormatBool(c.Bool(spec.name))}
		}
	}
}
