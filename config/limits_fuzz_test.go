package config

import (
	"math"
	"math/big"
	"path"
	"strings"
	"testing"
)

// FuzzMax: what is accepted as a limit limits, and no more than what was written.
func FuzzMax(f *testing.F) {
	for _, text := range []string{
		"0", "10", "10%", "0%", "0.0%", "100%", "100.1%", "2.5%", "1e2%", "50GB", "50GiB", "1.5T", "1,5T", "0.5B", "9223372036854775808",
		"8EiB", "7.99999999EiB", "99999999999999999999", "1 kB", "-1", "+1", "NaN%", "Inf", "0x10", " 1", "1 ", "٣", "0.000000000000000000001%",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := parseCount(text); err == nil {
			exact, ok := new(big.Int).SetString(text, 10)
			if !ok || exact.Cmp(big.NewInt(n)) != 0 || n < 0 {
				t.Errorf("%q is %d", text, n)
			}
		} else if n != 0 {
			t.Errorf("%q: %d beside %v", text, n, err)
		}
		if n, err := parseBytes(text); err == nil {
			if n < 0 || n == 0 && strings.ContainsAny(text, "123456789") {
				t.Errorf("%q is %d bytes", text, n)
			}
			if whole, err := parseCount(text); err == nil && math.Abs(float64(whole-n)) > float64(whole)/(1<<50) {
				t.Errorf("%q is %d and %d bytes", text, whole, n)
			}
		} else if n != 0 {
			t.Errorf("%q: %d beside %v", text, n, err)
		}
		if share, err := parsePercent(text); err == nil && !(share > 0 && share <= 100) || err != nil && share != 0 {
			t.Errorf("%q%% is %v, %v", text, share, err)
		}
	})
}

// FuzzGlob: a glob of media to keep is accepted whole or refused, and what is accepted can be matched with anything.
func FuzzGlob(f *testing.F) {
	for _, glob := range []string{"*", "@*:hs", "[", "[a-", `\`, `@a\`, "[]a]", "image/*", "a/b", "", "[^a]", "[z-a]", "\xff", "***", "@[a-z]*:hs"} {
		f.Add(glob, "abcDEF")
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		if strings.ContainsAny(glob, "\x00") {
			return // no argument holds one
		}
		for flag, kept := range map[string]func(*Config) []string{
			"--keep-user":  func(c *Config) []string { return c.Media.KeepUsers },
			"--keep-media": func(c *Config) []string { return c.Media.KeepMedia },
			"--keep-type":  func(c *Config) []string { return c.Media.KeepTypes },
		} {
			cfg, _, err := Parse(input(map[string]string{tokenVariable: token}, "run", "-d", "30d", "--postgres=host=h dbname=d", flag+"="+glob))
			if err != nil {
				continue
			}
			got := kept(cfg)
			if len(got) != 1 || got[0] != glob {
				t.Fatalf("%s=%q is read as %q", flag, glob, got)
			}
			if _, err := path.Match(glob, name); err != nil {
				t.Fatalf("%s=%q cannot be matched with %q: %v", flag, glob, name, err)
			}
		}
	})
}
