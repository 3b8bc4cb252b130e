package config

import (
	"slices"
	"strings"
)

// setting is the value of one flag together with where it comes from.
type setting struct {
	// source is the flag, argument or variable, as an error names it.
	source string
	// fromEnv is set for a variable; arguments win over it.
	fromEnv bool
	values  []string
}

// reader turns settings into the fields of a Config and collects all that is wrong with them.
type reader struct {
	in       Input
	command  commandSpec
	settings map[string]setting
	// hasConnectionArgument says that argument 1 is a connection string, noDatabase that what is wrong with the database
	// has been said.
	hasConnectionArgument, noDatabase bool
	// unusable says why the configuration of Synapse that was found cannot be used; empty when it can.
	unusable string
	// secrets are texts that no error may show.
	secrets  []string
	problems Errors
	warnings []string
}

// collect takes the arguments, then from the environment what they leave out.
func (r *reader) collect(found gathered) {
	r.settings = map[string]setting{}
	for _, spec := range r.command.flags {
		if values, given := found[spec.name]; given {
			r.settings[spec.name] = setting{source: "--" + spec.name, values: values}
			continue
		}
		if fromEnv, given := r.variable(spec); given {
			r.settings[spec.name] = fromEnv
		}
	}
}

// variable reads the variables of a flag. Two that contradict each other are an error: either could be the forgotten one.
func (r *reader) variable(spec flagSpec) (setting, bool) {
	var found []string
	var value string
	for _, name := range spec.variables() {
		text := r.env(name)
		if text == "" {
			continue
		}
		if len(found) > 0 && text != value {
			r.problem(name, "", "contradicts "+found[0], "one of the two, or the same value in both")
			continue
		}
		found, value = append(found, name), text
	}
	if len(found) == 0 {
		return setting{}, false
	}
	values := []string{value}
	if spec.kind == repeated {
		values = strings.Fields(value)
	}
	return setting{source: found[0], fromEnv: true, values: values}, true
}

// env is a variable of the environment; empty counts as unset.
func (r *reader) env(name string) string {
	value, _ := r.in.LookupEnv(name)
	return value
}

// problem notes what is wrong. Pass no value of which more than a part could be shown.
func (r *reader) problem(flag, value, problem, accepted string) {
	r.problems = append(r.problems, &FieldError{
		Flag: flag, Value: printable(value, r.secrets), Problem: problem, Accepted: accepted,
	})
}

func (r *reader) warn(text string) { r.warnings = append(r.warnings, text) }

// single is the one value of a flag; given says whether there is any.
func (r *reader) single(name string) (value, source string, given bool) {
	s, given := r.settings[name]
	if !given {
		return "", "", false
	}
	return s.values[len(s.values)-1], s.source, true
}

// oneOf reads a word out of a list.
func (r *reader) oneOf(name, fallback string, accepted ...string) string {
	value, source, given := r.single(name)
	if !given {
		return fallback
	}
	if !slices.Contains(accepted, value) {
		r.problem(source, value, "is not known", strings.Join(accepted, ", "))
		return fallback
	}
	return value
}
