package config

import (
	"io"
	"strconv"

	"github.com/urfave/cli/v2"
)

// gathered is what cli read from the arguments: the flags that were given, by name.
type gathered map[string][]string

// runCLI hands arranged arguments to cli, which prints what is asked of it and fills found for a run.
func runCLI(a arrangement, stdout io.Writer, version func(w io.Writer, asJSON bool) error) (gathered, error) {
	found := gathered{}
	app := newApp(stdout, func(c *cli.Context) error {
		found.read(c)
		return nil
	}, version)
	args := []string{app.Name, string(a.command)}
	if a.command == CommandHelp && a.topic != "" {
		args = append(args, string(a.topic))
	}
	if a.shell != "" {
		args = append(args, a.shell)
	}
	if spec, _ := specOfCommand(a.command); len(spec.flags) > 0 {
		args = append(append(append(args, a.flags...), "--"), a.positionals...)
	}
	return found, app.Run(args)
}

func newApp(stdout io.Writer, run cli.ActionFunc, version func(w io.Writer, asJSON bool) error) *cli.App {
	usageError := func(_ *cli.Context, err error, _ bool) error { return err }
	actions := map[Command]cli.ActionFunc{
		CommandVersion: func(c *cli.Context) error { return version(stdout, c.Bool("json")) },
		CommandCompletion: func(c *cli.Context) error {
			_, err := io.WriteString(stdout, completion(c.Args().First()))
			return err
		},
		CommandHelp: help,
	}
	var all []*cli.Command
	for _, spec := range commands() {
		action := run
		if special, ok := actions[spec.command]; ok {
			action = special
		}
		all = append(all, &cli.Command{
			Name: string(spec.command), Usage: spec.usage, HideHelpCommand: true, UsageText: "synupkeep " + spec.usageText,
			Description: spec.text(), Flags: cliFlags(spec.flags), OnUsageError: usageError, Action: action,
		})
	}
	bare, _ := specOfCommand(CommandRun)
	return &cli.App{
		Name:                      "synupkeep",
		Usage:                     "keeps a Matrix Synapse homeserver small",
		UsageText:                 usageText,
		Description:               description + "\n\nExit codes:\n" + runExitCodes,
		Flags:                     cliFlags(bare.flags),
		Commands:                  all,
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

func cliFlags(specs []flagSpec) (flags []cli.Flag) {
	for _, spec := range specs {
		flags = append(flags, spec.cliFlag())
	}
	return flags
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
