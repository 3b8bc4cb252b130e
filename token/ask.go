package token

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// longestPassword bounds what is read where no person types it.
const longestPassword = 4 << 10

// AskAt returns an Ask that prompts at a terminal, where what is typed is not shown, and elsewhere takes the first line of
// the standard input.
func AskAt(stdin *os.File, prompt io.Writer) Ask {
	return func(ctx context.Context, text string) (string, error) {
		fd := int(stdin.Fd())
		if !term.IsTerminal(fd) {
			return within(ctx, func() (string, error) { return firstLine(stdin) })
		}
		before, err := term.GetState(fd)
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprint(prompt, text) // a prompt that nobody sees is no reason not to read
		answer, err := within(ctx, func() (string, error) {
			typed, err := term.ReadPassword(fd)
			return string(typed), err
		})
		_, _ = fmt.Fprintln(prompt)
		if ctx.Err() != nil { // whoever pressed ^C wants to see again what they type
			_ = term.Restore(fd, before)
		}
		return answer, err
	}
}

// within reads until ctx is done. A read from a terminal cannot be ended: it goes with the process.
func within(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	came := make(chan answer, 1)
	go func() {
		text, err := read()
		came <- answer{text, err}
	}()
	select {
	case a := <-came:
		return a.text, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func firstLine(r io.Reader) (string, error) {
	text, err := bufio.NewReader(io.LimitReader(r, longestPassword)).ReadString('\n')
	if text = strings.TrimRight(text, "\r\n"); text != "" {
		return text, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return "", ErrNobody
	}
	return "", err
}
