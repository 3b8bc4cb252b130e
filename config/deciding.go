package config

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"synupkeep/internal/item"
)

// FlowsSetting is the name in Deciding of the flows that run, which --only and --skip choose.
const FlowsSetting = "flows"

// Deciding is what decides what is deleted: the values of flags by their names, whichever way they were given. A flag whose
// order means nothing has its values in order. What is left out decides how, how fast or how much at most.
func (c *Config) Deciding() map[string][]string {
	one := func(value string) []string { return []string{value} }
	set := func(values []string) []string { return slices.Compact(slices.Sorted(slices.Values(values))) }
	users := slices.Clone(c.Media.KeepUsers)
	if c.Media.KeepBridged {
		users = append(users, keepBridges)
	}
	found := map[string][]string{
		FlowsSetting:  {},
		"room":        set(c.History.Rooms),
		"not-room":    set(c.History.NotRooms),
		"limit-rooms": one(strconv.Itoa(c.History.Limit)),
		"gap-grace":   one(formatDuration(c.History.GapGrace)),
		"report-hold": one(formatDuration(c.History.ReportHold)),
		"keep-pinned": one(strconv.FormatBool(c.History.KeepPinned)),
		"keep-user":   set(users),
		"keep-media":  set(c.Media.KeepMedia),
		"keep-type":   set(c.Media.KeepTypes),
		"keep-shown":  one(strconv.FormatBool(c.Media.KeepShown)),
		"limit-media": one(strconv.Itoa(c.Media.Limit)),
		"remote-dead": one(map[bool]string{true: "delete", false: "keep"}[c.Media.DeleteOfDeadServers]),
		"media-via":   one(string(c.Media.Via)),
	}
	for _, flow := range item.AllFlows() {
		if slices.Contains(c.Flows, flow) {
			found[FlowsSetting] = append(found[FlowsSetting], string(flow))
			found[deltaFlag(flow)] = one(c.Ages[flow].String())
		}
	}
	if slices.Contains(c.Flows, item.Drift) {
		found["unused-expiration-time"] = one(formatDuration(c.Drift.UploadLifetime)) // of Synapse's own configuration
		found["drift"] = []string{}
		for _, finding := range c.Drift.Delete {
			found["drift"] = append(found["drift"], string(finding))
		}
	}
	return found
}

// String is the age as a flag takes it, or the time of --before.
func (a Age) String() string {
	if !a.Before.IsZero() {
		return "before " + a.Before.UTC().Format(time.RFC3339Nano)
	}
	return formatDuration(a.Delta)
}

// SayDeciding says of a value of Deciding what a person understands by it.
func SayDeciding(values []string) string {
	switch len(values) {
	case 0:
		return "not given"
	case 1:
		return values[0]
	}
	const few = 5
	text := fmt.Sprint(values[:min(few, len(values))])
	if len(values) > few {
		text += fmt.Sprintf(" and %d more", len(values)-few)
	}
	return text
}
