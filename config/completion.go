package config

import (
	"fmt"
	"slices"
	"strings"

	"synupkeep/internal/item"
	"synupkeep/internal/logging"
)

// shells are those that complete what is typed.
func shells() []string { return []string{"bash", "zsh", "fish"} }

// words are what a value can be, as far as it is one of a few; nil otherwise.
func (f flagSpec) words() (words []string) {
	switch f.name {
	case "only", "skip":
		for _, flow := range item.Flows() {
			words = append(words, string(flow))
		}
	case "logging-level":
		for _, level := range logging.Levels() {
			words = append(words, level.String())
		}
	case "log-format":
		return []string{"text", "json"}
	case "media-via":
		return []string{string(ViaDisk), string(ViaAPI)}
	case "remote-dead":
		return []string{"keep", "delete"}
	case "delta", "history-delta", "local-media-delta", "remote-media-delta", "preview-delta":
		return []string{"30d", "90d", "180d", "1y"}
	}
	return words
}

// file says that the value is a file or a directory.
func (f flagSpec) file() bool {
	return strings.Contains(f.usage, "`FILE`") || strings.Contains(f.usage, "`DIRECTORY`")
}

// completion is the script by which a shell completes commands, flags and values. It needs nothing beside itself.
func completion(shell string) string {
	switch shell {
	case "bash":
		return bashCompletion()
	case "zsh":
		return zshCompletion()
	}
	return fishCompletion()
}

func commandWords() []string { return strings.Split(commandNames(), ", ") }

// arguments are what may follow a command that takes one of a few words.
func (c commandSpec) arguments() []string {
	return map[Command][]string{
		CommandRepair: {repairable}, CommandCompletion: shells(), CommandHelp: commandWords(),
	}[c.command]
}

func bashCompletion() string {
	var b strings.Builder
	commands := commands()
	b.WriteString("# Completion of synupkeep for bash: source <(synupkeep completion bash)\n_synupkeep() {\n")
	b.WriteString("\tlocal cur=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD-1]} command=run flags= word\n")
	b.WriteString("\t# bash takes --flag=value apart at the equals sign.\n")
	b.WriteString("\tif [[ $cur == = ]]; then cur=; elif [[ $flag == = ]]; then flag=${COMP_WORDS[COMP_CWORD-2]}; fi\n")
	fmt.Fprintf(&b, "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\t\tcase $word in %s) command=$word; break ;; esac\n\tdone\n", strings.Join(commandWords(), "|"))
	b.WriteString("\tCOMPREPLY=()\n\tcase $flag in\n")
	for _, f := range flagSpecs() {
		dashed := "--" + f.name
		if f.alias != "" {
			dashed += "|-" + f.alias
		}
		switch words := f.words(); {
		case f.kind == truth:
		case len(words) > 0:
			fmt.Fprintf(&b, "\t%s) mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\"); return ;;\n", dashed, strings.Join(words, " "))
		case f.file():
			fmt.Fprintf(&b, "\t%s) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n", dashed)
		default:
			fmt.Fprintf(&b, "\t%s) return ;;\n", dashed)
		}
	}
	b.WriteString("\tesac\n\tcase $command in\n")
	for _, c := range commands {
		var flags []string
		for _, f := range c.flags {
			flags = append(flags, "--"+f.name)
		}
		fmt.Fprintf(&b, "\t%s) flags='%s' ;;\n", c.command, strings.Join(append(flags, "--help"), " "))
	}
	b.WriteString("\tesac\n\tif [[ $cur == -* ]]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$cur\")\n")
	fmt.Fprintf(&b, "\telif ((COMP_CWORD == 1)); then\n\t\tmapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\")\n", strings.Join(commandWords(), " "))
	b.WriteString("\telif ((COMP_CWORD == 2)); then\n\t\tcase $command in\n")
	for _, c := range commands {
		if words := c.arguments(); len(words) > 0 {
			fmt.Fprintf(&b, "\t\t%s) mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\") ;;\n", c.command, strings.Join(words, " "))
		}
	}
	b.WriteString("\t\tesac\n\tfi\n}\ncomplete -F _synupkeep synupkeep\n")
	return b.String()
}

// plain is a usage text without the marks around what stands for the value.
func plain(usage string) string { return strings.ReplaceAll(usage, "`", "") }

func zshCompletion() string {
	quoted := func(text string) string {
		return strings.NewReplacer(`'`, `'\''`, `:`, `\:`, `[`, `\[`, `]`, `\]`).Replace(plain(text))
	}
	var b strings.Builder
	b.WriteString("#compdef synupkeep\n# Completion of synupkeep for zsh: a file _synupkeep in a directory of $fpath\n_synupkeep() {\n")
	b.WriteString("\tlocal curcontext=$curcontext state line\n\tlocal -a commands=(\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "\t\t'%s:%s'\n", c.command, quoted(c.usage))
	}
	b.WriteString("\t)\n\t_arguments -C '1: :->command' '*:: :->rest'\n\tcase $state in\n\tcommand) _describe command commands ;;\n\trest)\n\t\tcase $words[1] in\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "\t\t%s)\n\t\t\t_arguments", c.command)
		for _, f := range c.flags {
			repeat, value := "", ""
			if f.kind == repeated {
				repeat = "*"
			}
			switch words := f.words(); {
			case f.kind == truth:
			case len(words) > 0:
				value = ":value:(" + strings.Join(words, " ") + ")"
			case f.file():
				value = ":file:_files"
			default:
				value = ":value: "
			}
			equals := map[bool]string{true: "=", false: ""}[value != ""]
			fmt.Fprintf(&b, " \\\n\t\t\t\t'%s--%s%s[%s]%s'", repeat, f.name, equals, quoted(f.usage), value)
		}
		if words := c.arguments(); len(words) > 0 {
			fmt.Fprintf(&b, " \\\n\t\t\t\t'1: :(%s)'", strings.Join(words, " "))
		}
		b.WriteString(" \\\n\t\t\t\t'--help[show help]'\n\t\t\t;;\n")
	}
	b.WriteString("\t\tesac\n\t\t;;\n\tesac\n}\nif [[ $funcstack[1] == _synupkeep ]]; then _synupkeep \"$@\"; else compdef _synupkeep synupkeep; fi\n")
	return b.String()
}

func fishCompletion() string {
	quoted := func(text string) string { return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(plain(text)) }
	var b strings.Builder
	b.WriteString("# Completion of synupkeep for fish: a file synupkeep.fish in a directory of $fish_complete_path\ncomplete -c synupkeep -f\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "complete -c synupkeep -n __fish_use_subcommand -a %s -d '%s'\n", c.command, quoted(c.usage))
		if words := c.arguments(); len(words) > 0 {
			fmt.Fprintf(&b, "complete -c synupkeep -n '__fish_seen_subcommand_from %s' -a '%s'\n", c.command, strings.Join(words, " "))
		}
	}
	for _, f := range flagSpecs() {
		var of []string
		for _, c := range f.commands {
			of = append(of, string(c))
		}
		slices.Sort(of)
		fmt.Fprintf(&b, "complete -c synupkeep -n '__fish_seen_subcommand_from %s' -l %s", strings.Join(of, " "), f.name)
		if len(f.alias) == 1 {
			fmt.Fprintf(&b, " -s %s", f.alias)
		}
		switch words := f.words(); {
		case f.kind == truth:
		case len(words) > 0:
			fmt.Fprintf(&b, " -x -a '%s'", strings.Join(words, " "))
		case f.file():
			b.WriteString(" -r -F")
		default:
			b.WriteString(" -x")
		}
		fmt.Fprintf(&b, " -d '%s'\n", quoted(f.usage))
	}
	return b.String()
}
