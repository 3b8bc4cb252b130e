package config

import (
	"slices"
	"strings"
	"time"

	"synupkeep/internal/item"
)

const (
	// bareDelta is what 1.0.0 deletes by when nothing else is said.
	bareDelta = day

	youngestHistory = day
	youngestMedia   = time.Hour
	// soon is the age below which deleting costs something that the operator should know.
	soon = 7 * day
)

// oldest is the first day of Matrix: a cut-off before it is a mistake.
func oldest() time.Time { return time.Date(2014, time.January, 1, 0, 0, 0, 0, time.UTC) }

// ageOrigin remembers what gave a flow its age, for errors.
type ageOrigin struct{ source, value string }

func deltaFlag(flow item.Flow) string {
	switch flow {
	case item.History:
		return "history-delta"
	case item.LocalMedia:
		return "local-media-delta"
	case item.RemoteMedia:
		return "remote-media-delta"
	case item.Previews:
		return "preview-delta"
	case item.Drift:
		return "drift-grace"
	}
	return ""
}

// readAges gives every flow that runs its age. Arguments win over the environment: an age from there is as if not given
// where an argument says --before instead. Among either, a flow's own delta wins over --delta, and a delta beside --before
// is an error.
func (r *reader) readAges(cfg *Config, bare bool) {
	ages := r.parsedAges()
	cfg.Ages, cfg.origins = map[item.Flow]Age{}, map[item.Flow]ageOrigin{}
	var without []item.Flow
	told := map[string]bool{}
	for _, flow := range cfg.Flows {
		if flow == item.Drift {
			continue // its age is a grace, see readDrift
		}
		name, rival := r.ageOf(flow)
		switch {
		case rival != "":
			if source := r.settings[rival].source; !told[source] {
				told[source] = true
				before, _, _ := r.single("before")
				r.problem(r.settings["before"].source, before, "stands beside "+source+" for "+string(flow), "one of the two")
			}
		case name != "":
			value, source, _ := r.single(name)
			if age, valid := ages[name]; valid {
				cfg.Ages[flow], cfg.origins[flow] = age, ageOrigin{source, value}
			}
		case bare:
			cfg.Ages[flow], cfg.origins[flow] = Age{Delta: bareDelta}, ageOrigin{"--delta", "86400"}
		default:
			without = append(without, flow)
		}
	}
	if len(without) > 0 && r.command.deletes() {
		r.problem("--delta", "", "nothing says how old must be what is deleted by "+joinFlows(without),
			"--delta AGE (or SYNUPKEEP_DELTA), --before TIME, or the delta of each flow ("+deltaFlags(without)+")")
	}
	for _, problem := range cfg.ageProblems(time.Time{}) {
		r.problem(problem.Flag, problem.Value, problem.Problem, problem.Accepted)
	}
	r.warnOfYoung(cfg)
}

// parsedAges reads every age that is given, whether a flow uses it or not; invalid ones are problems.
func (r *reader) parsedAges() map[string]Age {
	ages := map[string]Age{}
	names := []string{"delta"}
	for _, flow := range item.Flows() {
		names = append(names, deltaFlag(flow))
	}
	for _, name := range names {
		value, source, given := r.single(name)
		if !given {
			continue
		}
		delta, err := ParseDuration(value)
		if err != nil {
			r.problem(source, value, err.Error(), acceptedDuration)
			continue
		}
		ages[name] = Age{Delta: delta}
	}
	if value, source, given := r.single("before"); given {
		before, err := parseBefore(value)
		if err != nil || before.IsZero() {
			r.problem(source, value, "is not a time", "a date such as 2025-01-31 or an RFC 3339 time such as 2025-01-31T12:00:00Z")
		} else {
			ages["before"] = Age{Before: before}
		}
	}
	return ages
}

// ageOf names the flag that decides a flow's age, or none; rival is a delta that contradicts --before.
func (r *reader) ageOf(flow item.Flow) (name, rival string) {
	own := deltaFlag(flow)
	for _, fromEnv := range []bool{false, true} {
		given := func(name string) bool {
			s, given := r.settings[name]
			return given && s.fromEnv == fromEnv
		}
		switch {
		case given("before") && given(own):
			return "", own
		case given("before") && given("delta"):
			return "", "delta"
		case given("before"):
			return "before", ""
		case given(own):
			return own, ""
		case given("delta"):
			if _, given := r.settings[own]; given { // of the environment, and still more telling
				return own, ""
			}
			return "delta", ""
		}
	}
	return "", ""
}

func deltaFlags(flows []item.Flow) string {
	names := make([]string, len(flows))
	for i, flow := range flows {
		names[i] = "--" + deltaFlag(flow)
	}
	return strings.Join(names, ", ")
}

// CheckAges says whether the cut-off of every flow is one that may be, for a run that begins at now. Call it with the
// database's clock before the first delete. The error is of type Errors.
func (c *Config) CheckAges(now time.Time) error { return c.ageProblems(now).orNil() }

// ageProblems takes the zero time for an unknown one, and then finds what is wrong whatever the time is: Parse has only
// the local clock, and a run must not fail by that.
func (c *Config) ageProblems(now time.Time) Errors {
	var problems Errors
	for _, flow := range c.Flows {
		age, given := c.Ages[flow]
		if !given {
			continue
		}
		youngest, accepted := youngestMedia, "for media at least 1h"
		if flow == item.History {
			youngest, accepted = youngestHistory, "for history at least 1d"
		}
		unknown, cutOff, problem := now.IsZero(), age.CutOff(now), ""
		switch {
		case age.Before.IsZero() && age.Delta < youngest, !unknown && cutOff.After(now.Add(-youngest)) && !cutOff.After(now):
			problem = "is too young"
		case !unknown && cutOff.After(now):
			problem = "lies in the future"
		case cutOff.Before(oldest()) && (!unknown || !age.Before.IsZero()):
			problem = "reaches back before 2014, when Matrix began"
		default:
			continue
		}
		origin := c.origins[flow]
		problems = append(problems, &FieldError{
			Flag: origin.source, Value: origin.value, Problem: problem + " for " + string(flow),
			Accepted: accepted + ", not before 2014-01-01",
		})
	}
	return problems
}

func (r *reader) warnOfYoung(cfg *Config) {
	young := slices.DeleteFunc(slices.Clone(cfg.Flows), func(flow item.Flow) bool {
		age, given := cfg.Ages[flow]
		return flow == item.Drift || !given || !age.CutOff(r.in.Now).After(r.in.Now.Add(-soon))
	})
	if len(young) == 0 {
		return
	}
	text := "less than 7 days are kept of " + joinFlows(young) + ":"
	if slices.Contains(young, item.History) {
		text += " messages go that devices and other servers may not have fetched yet; redactions of the last days, which " +
			"Synapse has not censored yet, hold the cut of their rooms back; rooms are purged again each night for few messages;"
	}
	if slices.ContainsFunc(young, func(flow item.Flow) bool { return flow != item.History }) {
		text += " media goes that recipients may not have downloaded yet; what is fetched again costs traffic;"
	}
	r.warn(strings.TrimSuffix(text, ";"))
}
