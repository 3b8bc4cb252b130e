package item_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
)

// byRank is the order and the exit codes that the documentation promises: of several causes the first decides.
var byRank = []struct {
	cause item.Cause
	code  int
}{
	{item.CauseUsage, 2},
	{item.CauseToken, 12},
	{item.CauseLocked, 11},
	{item.CauseRefused, 13},
	{item.CauseFailed, 1},
	{item.CauseInterrupt, 130},
	{item.CauseTerminated, 143},
	{item.CauseItems, 3},
	{item.CauseLeft, 10},
}

func TestExitCodeOfEachCause(t *testing.T) {
	for _, c := range byRank {
		if got := item.ExitCode([]item.Cause{c.cause}); got != c.code {
			t.Errorf("%s: exit code %d, want %d", c.cause, got, c.code)
		}
	}
}

func TestExitCodeWithoutACause(t *testing.T) {
	if got := item.ExitCode(nil); got != 0 {
		t.Errorf("exit code %d, want 0", got)
	}
}

func TestFirstOfTwoCausesDecidesInEitherOrder(t *testing.T) {
	for i, first := range byRank {
		for _, second := range byRank[i+1:] {
			for _, causes := range [][]item.Cause{{first.cause, second.cause}, {second.cause, first.cause}} {
				if got := item.ExitCode(causes); got != first.code {
					t.Errorf("%v: exit code %d, want %d", causes, got, first.code)
				}
			}
		}
	}
}

func TestUnknownCauseIsNoSuccess(t *testing.T) {
	tests := []struct {
		causes []item.Cause
		code   int
	}{
		{[]item.Cause{""}, 1},
		{[]item.Cause{"no such cause"}, 1},
		{[]item.Cause{"no such cause", item.CauseLocked}, 11},
	}
	for _, test := range tests {
		if got := item.ExitCode(test.causes); got != test.code {
			t.Errorf("%q: exit code %d, want %d", test.causes, got, test.code)
		}
	}
}

func TestSortCauses(t *testing.T) {
	tests := []struct{ in, want []item.Cause }{
		{nil, []item.Cause{}},
		{[]item.Cause{item.CauseLeft, item.CauseLeft}, []item.Cause{item.CauseLeft}},
		{
			[]item.Cause{item.CauseLeft, item.CauseTerminated, item.CauseItems, item.CauseLeft, item.CauseFailed},
			[]item.Cause{item.CauseFailed, item.CauseTerminated, item.CauseItems, item.CauseLeft},
		},
	}
	for _, test := range tests {
		given := slices.Clone(test.in)
		if diff := cmp.Diff(test.want, item.SortCauses(test.in)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.in, diff)
		}
		if diff := cmp.Diff(given, test.in); diff != "" {
			t.Errorf("the argument was changed (-want +got):\n%s", diff)
		}
	}
}

func TestSortingChangesNoExitCode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []item.Cause
		for _, c := range byRank {
			all = append(all, c.cause)
		}
		causes := rapid.SliceOf(rapid.SampledFrom(all)).Draw(t, "causes")
		sorted := item.SortCauses(causes)
		if item.ExitCode(causes) != item.ExitCode(sorted) {
			t.Fatalf("exit code %d, sorted %d", item.ExitCode(causes), item.ExitCode(sorted))
		}
		for _, c := range causes {
			if !slices.Contains(sorted, c) {
				t.Fatalf("%s is lost in %v", c, sorted)
			}
		}
		if len(sorted) > 0 && item.ExitCode(sorted[:1]) != item.ExitCode(causes) {
			t.Fatalf("the first of %v does not decide", sorted)
		}
	})
}

func TestRunError(t *testing.T) {
	lost := errors.New("connection lost")
	tests := []struct {
		name string
		err  *item.RunError
		want string
	}{
		{"with a reason", &item.RunError{Cause: item.CauseFailed, Doing: "read rooms", Err: lost}, "read rooms: connection lost"},
		{"without one", &item.RunError{Cause: item.CauseTerminated, Doing: "stopped by SIGTERM"}, "stopped by SIGTERM"},
		{"with a hint", &item.RunError{Doing: "read rooms", Err: lost, Hint: "start it"}, "read rooms: connection lost"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.err.Error(); got != test.want {
				t.Errorf("text %q, want %q", got, test.want)
			}
			if errors.Is(test.err, lost) != (test.err.Err != nil) {
				t.Errorf("the chain does not lead to %v", test.err.Err)
			}
			var found *item.RunError
			if !errors.As(fmt.Errorf("history: %w", test.err), &found) || found != test.err {
				t.Errorf("not found in a chain: %v", found)
			}
		})
	}
}
