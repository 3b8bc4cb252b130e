package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// acceptedCommands says what argument 1 can be.
func acceptedCommands() string {
	return "the commands " + commandNames() + ", or a connection string (it holds = or ://)"
}

// arrangement is what the arguments say, in an order that cli understands: it takes flags after the first positional
// argument for arguments (recorded for urfave/cli 2.27), where 1.0.0 takes both in any order.
type arrangement struct {
	command Command
	// bare is set without a command: the form of 1.0.0.
	bare bool
	// topic is the command that help is about, empty for the program.
	topic Command
	// shell is the one that completion is for.
	shell string
	// flags are --name=value, each as often as cli may see it.
	flags       []string
	positionals []string
	problems    Errors
	// unknownCommand is set when the first argument is a mistyped command, as far as anybody can tell.
	unknownCommand bool
}

// arrange separates flags from positional arguments. It knows which flags take a value; -- ends the flags.
func arrange(args []string) arrangement {
	a := scanner{args: args, given: map[string]string{}}
	for len(a.args) > 0 {
		arg := a.args[0]
		a.args = a.args[1:]
		switch {
		case arg == "--":
			a.out.positionals = append(a.out.positionals, a.args...)
			a.args = nil
		case strings.HasPrefix(arg, "-") && arg != "-":
			a.flag(arg)
		default:
			a.out.positionals = append(a.out.positionals, arg)
		}
	}
	a.commandOf()
	return a.out
}

type scanner struct {
	args  []string
	given map[string]string
	help  bool
	out   arrangement
}

func lookUp(arg string) (name, value string, hasValue, isFlag bool) {
	name, value, hasValue = strings.Cut(arg, "=")
	dashes := len(name) - len(strings.TrimLeft(name, "-"))
	name = name[dashes:]
	return name, value, hasValue, dashes == 1 || dashes == 2
}

func specOf(name string) (flagSpec, bool) {
	specs := flagSpecs()
	at := slices.IndexFunc(specs, func(f flagSpec) bool { return name != "" && (f.name == name || f.alias == name) })
	if at < 0 {
		return flagSpec{}, false
	}
	return specs[at], true
}

func (s *scanner) flag(arg string) {
	name, value, hasValue, isFlag := lookUp(arg)
	if isFlag && !hasValue && (name == "help" || name == "h") {
		s.help = true
		return
	}
	spec, known := specOf(name)
	if !known || !isFlag {
		shown, _, _ := strings.Cut(arg, "=")
		if !regexp.MustCompile(`^--?[a-z][a-z-]{0,30}$`).MatchString(shown) {
			shown = "an argument that begins with -" // it may be a secret
		}
		s.problem(shown, "", "is not a flag", "the flags that synupkeep help lists, or -- before an argument that begins with -")
		return
	}
	switch {
	case spec.kind == truth:
		s.truth(spec, value, hasValue)
		return
	case hasValue:
	case len(s.args) == 0:
		s.problem("--"+spec.name, "", "needs a value", "--"+spec.name+"=VALUE")
		return
	case s.isFlagItself(s.args[0]):
		// It stays a flag: a forgotten value must not swallow the flag behind it.
		s.problem("--"+spec.name, "", "needs a value, and a flag follows it", "--"+spec.name+"=VALUE")
		return
	default:
		value, s.args = s.args[0], s.args[1:]
	}
	s.add(spec, value)
}

func (s *scanner) isFlagItself(arg string) bool {
	name, _, _, isFlag := lookUp(arg)
	_, known := specOf(name)
	return isFlag && known || arg == "--" || arg == "--help" || arg == "-h"
}

func (s *scanner) truth(spec flagSpec, value string, hasValue bool) {
	if !hasValue {
		value = "true"
	}
	if _, err := strconv.ParseBool(value); err != nil {
		s.problem("--"+spec.name, value, "is neither true nor false", "--"+spec.name+" alone, or =true, =false")
		return
	}
	s.add(spec, value)
}

func (s *scanner) add(spec flagSpec, value string) {
	if spec.kind != repeated {
		before, again := s.given[spec.name]
		switch {
		case again && before == value:
			return
		case again:
			s.problem("--"+spec.name, "", "is given twice with different values", "one of them")
			return
		}
		s.given[spec.name] = value
	}
	s.out.flags = append(s.out.flags, "--"+spec.name+"="+value)
}

func (s *scanner) problem(flag, value, problem, accepted string) {
	s.out.problems = append(s.out.problems, &FieldError{Flag: flag, Value: printable(value, nil), Problem: problem, Accepted: accepted})
}

// commandOf takes the command from the positional arguments. None of them is shown: a token could be among them.
func (s *scanner) commandOf() {
	s.out.command, s.out.bare = CommandRun, true
	if len(s.out.positionals) > 0 {
		if spec, known := specOfCommand(Command(s.out.positionals[0])); known {
			s.out.command, s.out.bare = spec.command, false
			s.out.positionals = s.out.positionals[1:]
		}
	}
	if s.help && s.out.command != CommandHelp {
		if !s.out.bare {
			s.out.topic = s.out.command
		}
		s.out.command, s.out.positionals, s.out.problems = CommandHelp, nil, nil
	}
	switch s.out.command {
	case CommandRun, CommandPlan, CommandUsage, CommandDoctor, CommandCron:
		s.checkFlags()
		s.checkConnectionAndToken()
	case CommandToken:
		s.checkFlags()
		if len(s.out.positionals) > 0 {
			s.problem("token", "", "takes no arguments", "flags only; the password is asked for")
			s.out.positionals = nil
		}
	case CommandHealth:
		s.checkFlags()
		if len(s.out.positionals) > 0 {
			s.problem("health", "", "takes no arguments", "flags only")
			s.out.positionals = nil
		}
	case CommandRepair:
		s.checkFlags()
		s.checkRepairable()
		s.checkConnectionAndToken()
	case CommandHelp:
		s.checkTopic()
	case CommandCompletion:
		s.checkFlags()
		if len(s.out.positionals) != 1 || !slices.Contains(shells(), s.out.positionals[0]) {
			s.problem(string(CommandCompletion), "", "does not name a shell that it knows", strings.Join(shells(), ", "))
			s.out.positionals = nil
			return
		}
		s.out.shell, s.out.positionals = s.out.positionals[0], nil
	case CommandVersion:
		s.checkFlags()
		if len(s.out.positionals) > 0 {
			s.problem("version", "", "takes no arguments", "")
		}
	}
}

// checkFlags refuses the flags of other commands. Their variables are passed over: one environment serves all commands.
func (s *scanner) checkFlags() {
	spec, _ := specOfCommand(s.out.command)
	told := map[string]bool{}
	s.out.flags = slices.DeleteFunc(s.out.flags, func(flag string) bool {
		name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		if spec.takes(name) {
			return false
		}
		if !told[name] {
			told[name] = true
			s.problem("--"+name, "", "is not a flag of "+string(spec.command), "those that synupkeep help "+string(spec.command)+" lists")
		}
		return true
	})
}

// checkRepairable takes the word behind repair, so that no connection string is taken for it.
func (s *scanner) checkRepairable() {
	if len(s.out.positionals) == 0 || s.out.positionals[0] != repairable {
		s.problem(string(CommandRepair), "", "does not say what is to be repaired", "repair "+repairable)
		s.out.positionals = nil
		return
	}
	s.out.positionals = s.out.positionals[1:]
}

func (s *scanner) checkConnectionAndToken() {
	if n := len(s.out.positionals); n > 2 {
		s.problem("arguments", "", fmt.Sprintf("%d are too many", n),
			"a connection string, in quotes where it holds spaces, and a token")
	}
	if len(s.out.positionals) == 0 {
		return
	}
	first := s.out.positionals[0]
	switch {
	case looksLikeConnection(first):
	case s.out.bare:
		s.out.unknownCommand = true
		s.problem("argument 1", "", "is neither a command nor a connection string", acceptedCommands())
	default:
		s.problem("argument 1", "", "is not a connection string", "one that holds = or ://; a token alone goes into "+
			tokenVariable+" or --token-file")
	}
}

func looksLikeConnection(arg string) bool {
	return strings.Contains(arg, "=") || strings.Contains(arg, "://")
}

func (s *scanner) checkTopic() {
	if len(s.out.positionals) == 0 {
		return
	}
	topic := Command(s.out.positionals[0])
	words := s.out.positionals
	if topic == CommandRepair && len(words) == 2 && words[1] == repairable {
		words = words[:1]
	}
	if _, known := specOfCommand(topic); !known || len(words) > 1 {
		s.problem("help", "", "there is no such command", "help and one of "+commandNames())
		return
	}
	s.out.topic = topic
}
