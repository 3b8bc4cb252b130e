package sinks

// What is here is for sinks of packages of their own, such as the page: they say what the table and the JSON say.

// Shown returns the summary as it is written: exit code and duration follow from what they depend on, times are UTC, lists
// and maps are not nil, and no text has a secret in it.
func (s Summary) Shown() Summary { return s.normal() }

// Plan says that nothing was done, and everything is what a run would do.
func (s Summary) Plan() bool { return s.Command == commandPlan }

// Verdict is the last line of the table: how it ended, with the exit code.
func (s Summary) Verdict() string {
	s = s.normal()
	if s.Plan() {
		return planVerdict(s)
	}
	return verdict(s)
}

// Deleted says in words what a flow deleted, or would delete. It is empty if that is nothing.
func (s Summary) Deleted(f FlowSummary) string { return amounts(f, s.Plan()) }

// Line makes one printable line of a bounded length out of any text.
func Line(text string) string { return line(text) }

// Took is a duration of so many seconds, with as many digits as somebody wants to know.
func Took(seconds float64) string { return took(seconds) }

// Shown returns the usage as it is written. See Summary.Shown.
func (u Usage) Shown() Usage { return u.normal() }

// Verdict is the last line of the table.
func (u Usage) Verdict() string { return usageVerdict(u.normal()) }
