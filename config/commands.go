package config

import (
	"slices"
	"strings"
)

// Command is what the arguments ask for.
type Command string

// The commands. Without one, the arguments mean CommandRun as in 1.0.0.
const (
	CommandRun     Command = "run"
	CommandPlan    Command = "plan"
	CommandUsage   Command = "usage"
	CommandDoctor  Command = "doctor"
	CommandRepair  Command = "repair"
	CommandCron    Command = "cron"
	CommandToken   Command = "token"
	CommandHealth  Command = "health"
	CommandVersion Command = "version"
	// CommandCompletion prints a script for a shell.
	CommandCompletion Command = "completion"
	CommandHelp       Command = "help"
)

const (
	connectionArguments = "[postgres_connection_string [synapse_auth_token]]"
	// repairable is the one thing that CommandRepair repairs.
	repairable = "rooms"
)

// commandSpec describes a command. The same table takes the arguments apart and writes the help.
type commandSpec struct {
	command     Command
	usage       string
	usageText   string // behind "synupkeep "
	description string
	examples    []string
	exitCodes   string
	flags       []flagSpec
	// connects is set where the command speaks to a server: then there is a Config.
	connects bool
}

// commands lists every command in the order of the help.
func commands() []commandSpec {
	flags := func(command Command) []flagSpec {
		return slices.DeleteFunc(flagSpecs(), func(f flagSpec) bool { return !slices.Contains(f.commands, command) })
	}
	return []commandSpec{
		{
			command: CommandRun, usage: "delete what is old", connects: true,
			usageText:   "run [flags] " + connectionArguments,
			description: runDescription, examples: runExamples(), exitCodes: runExitCodes, flags: flags(CommandRun),
		},
		{
			command: CommandPlan, usage: "show what run would delete, and change nothing", connects: true,
			usageText:   "plan [flags] " + connectionArguments,
			description: planDescription, examples: planExamples(), exitCodes: planExitCodes, flags: flags(CommandPlan),
		},
		{
			command: CommandUsage, usage: "show what uses the space, and what a cut-off would give", connects: true,
			usageText:   "usage [flags] [postgres_connection_string]",
			description: usageDescription, examples: usageExamples(), exitCodes: lookExitCodes, flags: flags(CommandUsage),
		},
		{
			command: CommandDoctor, usage: "check the server and this configuration, and change nothing", connects: true,
			usageText:   "doctor [flags] " + connectionArguments,
			description: doctorDescription, examples: doctorExamples(), exitCodes: doctorExitCodes, flags: flags(CommandDoctor),
		},
		{
			command: CommandRepair, usage: "repair rooms that take no messages any more", connects: true,
			usageText:   "repair rooms [flags] " + connectionArguments,
			description: repairDescription, examples: repairExamples(), exitCodes: repairExitCodes, flags: flags(CommandRepair),
		},
		{
			command: CommandCron, usage: "run again and again, by a schedule", connects: true,
			usageText:   "cron [flags] " + connectionArguments,
			description: cronDescription, examples: cronExamples(), exitCodes: cronExitCodes, flags: flags(CommandCron),
		},
		{
			command: CommandToken, usage: "get an admin's access token into a file", connects: true,
			usageText:   "token --token-file FILE [flags]",
			description: tokenDescription, examples: tokenExamples(), exitCodes: tokenExitCodes, flags: flags(CommandToken),
		},
		{
			command: CommandHealth, usage: "ask a synupkeep cron whether its runs end well", connects: true,
			usageText:   "health [flags]",
			description: healthDescription, examples: healthExamples(), exitCodes: healthExitCodes, flags: flags(CommandHealth),
		},
		{
			command: CommandCompletion, usage: "print what completes commands and flags in a shell", usageText: "completion bash|zsh|fish",
			description: completionDescription,
		},
		{command: CommandVersion, usage: "print the version", usageText: "version [--json]", flags: flags(CommandVersion)},
		{command: CommandHelp, usage: "print this text, or that of a command", usageText: "help [command]"},
	}
}

func specOfCommand(name Command) (commandSpec, bool) {
	all := commands()
	at := slices.IndexFunc(all, func(c commandSpec) bool { return c.command == name })
	if at < 0 {
		return commandSpec{}, false
	}
	return all[at], true
}

// commandNames are all of them, with commas.
func commandNames() string {
	var names []string
	for _, c := range commands() {
		names = append(names, string(c.command))
	}
	return strings.Join(names, ", ")
}

// takes says whether a flag is one of the command's.
func (c commandSpec) takes(name string) bool {
	return slices.ContainsFunc(c.flags, func(f flagSpec) bool { return f.name == name })
}

// deletes says that the command is about deleting what is old: without an age there is nothing for it to do.
func (c commandSpec) deletes() bool {
	return c.command == CommandRun || c.command == CommandPlan || c.command == CommandCron
}

// needsToken says that the database alone does not do.
func (c commandSpec) needsToken() bool { return c.command != CommandUsage }

// needsDatabase says that the admin API alone does not do.
func (c commandSpec) needsDatabase() bool {
	return c.command != CommandToken && c.command != CommandHealth
}

// text is the description with examples and exit codes.
func (c commandSpec) text() string {
	text := c.description
	if len(c.examples) > 0 {
		text += "\n\nExamples:\n  " + strings.Join(c.examples, "\n  ")
	}
	if c.exitCodes != "" {
		text += "\n\nExit codes:\n" + c.exitCodes
	}
	return text
}
