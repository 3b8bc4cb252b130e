package synapse

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPositionIsReadFromEveryFormOfToken(t *testing.T) {
	for token, want := range map[string]int64{
		"t426-2633508": 2633508,
		"s2633508":     2633508,
		"m56~2.58~3.59_17_338_6732159_1082514_541479_274711_265584_1_379_4242": 56,
		"m56~":                 56,
		"m56":                  56,
		"t0-1_0_0_0_0_0_0_0_0": 1,
		"s9223372036854775807": 9223372036854775807,
		"t9-0":                 0,
	} {
		if got, ok := parsePosition(token); !ok || got != want {
			t.Errorf("%s: %d, %t", token, got, ok)
		}
	}
	for _, token := range []string{
		"", "_", "t", "s", "m", "t5", "t-5", "t5-", "t5-x", "tx-5", "t5--5", "t-1-5", "t5-5-5", "s-5", "s+5", "s5.0", "s 5", "x5", "5", "t5_-5",
		"s9223372036854775808", "t426:2633508", "S5",
	} {
		if got, ok := parsePosition(token); ok {
			t.Errorf("%q: %d", token, got)
		}
	}
}

func TestPositionOfAnyServer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		depth, position := rapid.Int64Range(0, 1<<62).Draw(t, "depth"), rapid.Int64Range(0, 1<<62).Draw(t, "position")
		rest := rapid.StringMatching(`(_[0-9]+){0,12}`).Draw(t, "rest")
		for _, token := range []string{
			fmt.Sprintf("t%d-%d", depth, position), fmt.Sprintf("s%d", position), fmt.Sprintf("m%d~1.%d~2.%d", position, depth, depth),
		} {
			if got, ok := parsePosition(token + rest); !ok || got != position {
				t.Fatalf("%s: %d, %t", token+rest, got, ok)
			}
		}
	})
}

func FuzzPositionOfAnyAnswer(f *testing.F) {
	f.Add("t426-2633508_17")
	f.Add("m56~2.58~3.59")
	f.Fuzz(func(t *testing.T, token string) {
		if got, ok := parsePosition(token); ok && (got < 0 || !strings.Contains(token, fmt.Sprint(got))) {
			t.Errorf("%q: %d, %t", token, got, ok)
		}
	})
}
