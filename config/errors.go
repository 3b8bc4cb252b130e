package config

import (
	"regexp"
	"strconv"
	"strings"
)

// FieldError is one thing that is wrong with the configuration. Its text holds no secret.
type FieldError struct {
	// Flag is the flag, the argument or the variable that holds the value.
	Flag string
	// Value is what was given; empty where it is a secret or may hold one.
	Value string
	// Problem says what is wrong with it.
	Problem string
	// Accepted says what to write instead; it may be empty.
	Accepted string
}

func (e *FieldError) Error() string {
	text := e.Flag
	if e.Value != "" {
		text += " " + strconv.Quote(e.Value)
	}
	text += ": " + e.Problem
	if e.Accepted != "" {
		text += "; accepted: " + e.Accepted
	}
	return text
}

// Errors is all that is wrong with the configuration, one line each. The exit code is that of item.CauseUsage.
type Errors []*FieldError

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, problem := range e {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As the single problems.
func (e Errors) Unwrap() []error {
	problems := make([]error, len(e))
	for i, problem := range e {
		problems[i] = problem
	}
	return problems
}

// orNil is e as an error, nil when nothing is wrong.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// secretLooks are the marks of access tokens (of Synapse, of its macaroons, of the Matrix Authentication Service) and of
// connection strings.
//
//nolint:gosec // a pattern, no secret
const secretLooks = `(?i)syt_|\bm[a-z]{2}_\w|MDA[xy]|password|://[^/]*@`

// printable is a value as an error may show it. A token that lands in the place of another value must not show there.
func printable(value string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" && (value == secret || len(secret) > 3 && strings.Contains(value, secret)) {
			return "***"
		}
	}
	if regexp.MustCompile(secretLooks).MatchString(value) {
		return "***"
	}
	if len(value) > 100 {
		return strings.ToValidUTF8(value[:100], "") + "..."
	}
	return value
}
