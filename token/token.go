// Package token gets an admin's access token from the server and writes it into a file that nobody else can read.
package token

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/synapse"
	"synupkeep/sinks"
)

// Ask asks the person at the terminal for a secret.
type Ask func(ctx context.Context, prompt string) (string, error)

// ErrNobody comes from Ask when there is nobody to be asked.
var ErrNobody = errors.New("there is nobody to ask: the standard input is closed")

// masAdvice is what to do where Synapse leaves logging in to Matrix Authentication Service.
const masAdvice = "This server leaves logging in to Matrix Authentication Service, which gives out tokens for this itself. On its machine: " +
	"mas-cli manage issue-compatibility-token <username> --yes-i-want-to-grant-synapse-admin-privileges, for a user of its own; " +
	"put the token that it prints into the file and chmod it 600."

// Get returns the command: it logs in with a password that it asks for, or makes a user with the server's registration
// secret, sees that the token is an admin's, and writes it. What it says of a failure goes to the log.
func Get(ask Ask) func(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
	return func(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
		var held bool
		var err error
		if cfg.IfNeeded {
			held, err = holds(feed, cfg, log)
		}
		if err == nil && !held {
			err = get(feed, cfg, log, ask)
		}
		if cause := context.Cause(feed); cause != nil {
			err = cause
		}
		if err == nil {
			err = say(stdout, cfg, held)
		}
		if err == nil {
			return nil
		}
		var known *item.RunError
		if !errors.As(err, &known) {
			known = &item.RunError{Cause: item.CauseFailed, Err: err}
		}
		log.WithField("hint", known.Hint).Error(known.Error())
		return []item.Cause{known.Cause}
	}
}

func say(stdout io.Writer, cfg *config.Config, held bool) error {
	if held {
		_, err := fmt.Fprintf(stdout, "%s holds the token of a server admin already: nothing was done\n", cfg.Token.File)
		return err
	}
	_, err := fmt.Fprintf(stdout, "the token of %s is in %s; give it with --token-file, or SYNUPKEEP_TOKEN_FILE\n", cfg.User, cfg.Token.File)
	return err
}

func failed(cause item.Cause, doing string, err error, hint string) error {
	return &item.RunError{Cause: cause, Doing: doing, Err: err, Hint: hint}
}

// holds says whether the file holds a token that is an admin's. What else it holds, or an old token, makes place for a new one.
func holds(ctx context.Context, cfg *config.Config, log *logging.Logger) (bool, error) {
	secret, err := cfg.Token.Read()
	if err != nil {
		return false, nil // whatever is wrong with the file, it is written anew
	}
	log.Hide(secret.Reveal())
	client := synapse.NewClient(cfg.APIURL, fixed(secret.Reveal()))
	defer client.Close()
	err = client.CheckAdmin(ctx)
	if err != nil && synapse.Classify(err) != synapse.Unauthorized {
		return false, failed(item.CauseFailed, "try the token that "+cfg.Token.File+" holds", err, synapse.Advice(err))
	}
	return err == nil, nil
}

func get(ctx context.Context, cfg *config.Config, log *logging.Logger, ask Ask) error {
	file, err := sinks.CreateFile(cfg.Token.File, sinks.FileKind{ // before anybody types a password
		What: "token", Flag: "token-file", Mode: 0o600, Missing: "the server gave out a token, and it is kept nowhere: get another",
	})
	if err != nil {
		return err
	}
	defer file.Abandon() //nolint:errcheck // what is left is empty
	visitor := synapse.NewVisitor(cfg.APIURL)
	defer visitor.Close()
	if _, err := visitor.ServerVersion(ctx); err != nil {
		return failed(item.CauseFailed, "speak to Synapse", err, synapse.Advice(err))
	}
	text, err := obtain(ctx, cfg, log, visitor, ask)
	if err != nil {
		return err
	}
	log.Hide(text)
	client := synapse.NewClient(cfg.APIURL, fixed(text))
	defer client.Close()
	if err := client.CheckAdmin(ctx); err != nil {
		_ = client.Logout(context.WithoutCancel(ctx)) // nobody is to find a session that nobody uses
		return failed(item.CauseToken, "check that "+cfg.User+" is a server admin", err,
			"Another admin can make it one: PUT /_synapse/admin/v1/users/<user id>/admin with {\"admin\": true}; "+
				"or in the database: UPDATE users SET admin = 1 WHERE name = '<user id>'. Nothing was written.")
	}
	return file.Write(func(w io.Writer) error {
		_, err := io.WriteString(w, text+"\n")
		return err
	})
}

func obtain(ctx context.Context, cfg *config.Config, log *logging.Logger, visitor *synapse.Client, ask Ask) (string, error) {
	const doing = "log in"
	switch delegates, err := visitor.DelegatesLogin(ctx); {
	case err != nil:
		return "", failed(item.CauseFailed, doing, err, synapse.Advice(err))
	case delegates:
		return "", failed(item.CauseFailed, doing, errors.New("the server does not give out tokens itself"), masAdvice)
	}
	if cfg.Register.IsSet() {
		text, err := visitor.Register(ctx, cfg.Register.Reveal(), cfg.User, rand.Text())
		if err != nil {
			return "", failed(item.CauseFailed, "register the admin "+cfg.User, err, "Is the name taken? Choose another with --user. "+
				"Is the secret the registration_shared_secret of this server?")
		}
		return text, nil
	}
	byPassword, err := visitor.LogsInByPassword(ctx)
	switch {
	case err != nil:
		return "", failed(item.CauseFailed, doing, err, synapse.Advice(err))
	case !byPassword:
		return "", failed(item.CauseFailed, doing, errors.New("this server takes no passwords"),
			"Make an admin of its own with --register, or copy the token of a session from a client's settings.")
	}
	password, err := ask(ctx, "password of "+cfg.User+": ")
	if err != nil {
		return "", failed(item.CauseUsage, "ask for the password", err, "Run it at a terminal, or write the password to its standard input.")
	}
	log.Hide(password)
	text, err := visitor.Login(ctx, cfg.User, password)
	if err != nil {
		return "", failed(item.CauseToken, "log in as "+cfg.User, err, "Is the name that of a user of this server, and the password right?")
	}
	return text, nil
}

// fixed is a token that is not renewed.
type fixed string

func (f fixed) Token() string { return string(f) }
func (fixed) Renew() bool     { return false }
