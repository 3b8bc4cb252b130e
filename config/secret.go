package config

import (
	"encoding"
	"fmt"
)

// Secret is a text that must not be printed. Reveal is the only way to it. Two secrets are compared by what Reveal returns.
type Secret struct {
	// text is behind a pointer because fmt reads unexported fields of a struct without asking for their Format method:
	// of a pointer to a string it prints the address at most.
	text *string
}

// NewSecret wraps a text.
func NewSecret(text string) Secret { return Secret{text: &text} }

// Reveal returns the text itself, for the one place that needs it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet says whether there is any text.
func (s Secret) IsSet() bool { return s.Reveal() != "" }

// String hides the text.
func (s Secret) String() string { return "***" }

// GoString hides the text from %#v.
func (s Secret) GoString() string { return "***" }

// Format hides the text from every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("***")) }

// MarshalText hides the text from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

var _ encoding.TextMarshaler = Secret{}

// Token is an admin's access token: given, or in a file that is read again when the server no longer knows it.
type Token struct {
	Given Secret
	File  string
}
