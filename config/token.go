package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
)

const (
	tokenVariable = "SYNUPKEEP_SYNAPSE_AUTH_TOKEN" //nolint:gosec // the name of a variable
	// maxTokenBytes is far above the longest token (a macaroon has some 300): a longer file is not a token.
	maxTokenBytes = 8 << 10
)

// What Read finds in place of a token. No error says what the file holds.
var (
	errNotRegular = errors.New("is not a regular file, which can be read again when the token changes")
	errNoToken    = errors.New("holds no token")
	errNotAToken  = errors.New("holds more than one word, or more than a token has")
)

// Read returns the token: what was given, or what the file holds now, without the white space around it. The errors name
// the file and hold none of its content. Whoever reads a file tells the logger to hide what it held.
func (t Token) Read() (Secret, error) {
	if t.File == "" {
		return t.Given, nil
	}
	secret, _, err := readTokenFile(t.File)
	if err != nil {
		return Secret{}, fmt.Errorf("read the token file %s: %w", t.File, err)
	}
	return secret, nil
}

func readTokenFile(name string) (Secret, os.FileMode, error) {
	text, mode, err := readSecretFile(name)
	switch {
	case err != nil:
		return Secret{}, 0, err
	case text == "":
		return Secret{}, 0, errNoToken
	case len(text) > maxTokenBytes || !isToken(text):
		return Secret{}, 0, errNotAToken
	}
	return NewSecret(text), mode, nil
}

// readSecretFile reads a small file without the white space around what it holds.
func readSecretFile(name string) (text string, mode os.FileMode, err error) {
	// The type is asked first: to open a pipe would wait for a writer.
	info, err := os.Stat(name)
	if err != nil {
		return "", 0, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return "", 0, errNotRegular
	}
	file, err := os.Open(name)
	if err != nil {
		return "", 0, withoutPath(err)
	}
	content, err := io.ReadAll(io.LimitReader(file, 2*maxTokenBytes))
	if err := errors.Join(err, file.Close()); err != nil {
		return "", 0, withoutPath(err)
	}
	return strings.TrimSpace(string(content)), info.Mode(), nil
}

// withoutPath leaves of an os error what went wrong: the callers name the file.
func withoutPath(err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// isToken says whether text can stand in a request header as a bearer token.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > unicode.MaxASCII || c == 0x7f })
}

// readToken finds the token: as argument 2 or in --token-file, else in the environment.
func (r *reader) readToken(cfg *Config, positionals []string) {
	if r.command.command == CommandToken {
		r.readLogin(cfg)
		return
	}
	file, isFile := r.settings["token-file"]
	given, source, fromEnv := r.env(tokenVariable), tokenVariable, true
	if len(positionals) > 1 {
		given, source, fromEnv = positionals[1], "argument 2", false
	}
	hasToken := given != "" || !fromEnv
	if hasToken && isFile {
		switch {
		case fromEnv == file.fromEnv:
			r.problem(file.source, "", "there is a token in "+source+" as well", "one of the two")
			return
		case fromEnv:
			hasToken = false
		default:
			isFile = false
		}
	}
	// Also a token that is not used stays secret.
	r.hide(cfg, r.env(tokenVariable))
	switch {
	case isFile:
		r.readTokenSetting(cfg, file)
	case hasToken:
		r.readGivenToken(cfg, given, source, fromEnv)
	case !r.command.needsToken():
	default:
		r.problem("argument 2", "", "no access token is given", "an admin's token in "+tokenVariable+", in --token-file or as argument 2")
	}
}

func (r *reader) readTokenSetting(cfg *Config, file setting) {
	const accepted = "a file that holds an admin's access token and nothing else"
	name := file.values[0]
	if name == "" {
		r.problem(file.source, "", "is empty", accepted)
		return
	}
	secret, mode, err := readTokenFile(name)
	if err != nil {
		r.problem(file.source, name, err.Error(), accepted)
		return
	}
	r.hide(cfg, secret.Reveal())
	cfg.Token = Token{File: name}
	if mode.Perm()&0o004 != 0 {
		r.warn("every user of this machine can read the token file " + name + ": chmod o-r it")
	}
}

func (r *reader) readGivenToken(cfg *Config, given, source string, fromEnv bool) {
	token := strings.TrimSpace(given)
	if !isToken(token) {
		r.problem(source, "", "is empty or holds characters that no token has", "an admin's access token")
		return
	}
	r.hide(cfg, token)
	cfg.Token = Token{Given: NewSecret(token)}
	if !fromEnv {
		r.warn("the access token in " + source + " can be seen by every user of this machine (ps): put it into a file for " +
			"--token-file, or into " + tokenVariable)
	}
}
