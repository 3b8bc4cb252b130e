package repair

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Asker asks the operator.
type Asker interface {
	// Terminal says whether somebody can be asked at all.
	Terminal() bool
	// Yes asks a question until ctx is done. What is not clearly a yes is a no; the end of the input is an error.
	Yes(ctx context.Context, question string) (bool, error)
}

// Console asks at a terminal.
type Console struct {
	in  *os.File
	out io.Writer
}

// NewConsole asks on out and reads answers from in.
func NewConsole(in *os.File, out io.Writer) *Console { return &Console{in: in, out: out} }

// Terminal implements [Asker].
func (c *Console) Terminal() bool { return c.in != nil && term.IsTerminal(int(c.in.Fd())) }

// Yes implements [Asker]. A terminal cannot be read with a deadline, so it is looked at until a line is there: a signal is
// heard within a moment, and no goroutine stays behind. What was typed before the question was there is no answer to it.
func (c *Console) Yes(ctx context.Context, question string) (bool, error) {
	if err := unix.IoctlSetInt(int(c.in.Fd()), unix.TCFLSH, unix.TCIFLUSH); err != nil {
		return false, fmt.Errorf("put aside what was typed before: %w", err)
	}
	if _, err := fmt.Fprintf(c.out, "%s [y/N] ", question); err != nil {
		return false, err
	}
	if err := c.await(ctx); err != nil {
		_, _ = fmt.Fprintln(c.out)
		return false, err
	}
	line, err := bufio.NewReaderSize(c.in, 256).ReadString('\n') // a terminal gives a line at a time, however many wait
	if err != nil {
		_, _ = fmt.Fprintln(c.out)
		return false, fmt.Errorf("no answer came: %w", err)
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// await waits until there is something to read.
func (c *Console) await(ctx context.Context) error {
	const interval = 100 * time.Millisecond
	fds := []unix.PollFd{{Fd: int32(c.in.Fd()), Events: unix.POLLIN}}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := unix.Poll(fds, int(interval.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n > 0:
			return nil
		}
	}
}
