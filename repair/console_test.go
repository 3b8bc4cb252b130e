package repair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: what is written to person is typed.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	must(t, err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = person.Close(); _ = program.Close() })
	return person, program
}

func TestOnlyAClearYesIsOne(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	person, program := terminal(t)
	var asked prompt
	c := NewConsole(program, &asked)
	if !c.Terminal() {
		t.Error("a terminal is none")
	}
	for typed, want := range map[string]bool{"y": true, "YES": true, " yes ": true, "": false, "n": false, "yy": false, "ja": false, "no y": false} {
		asked.seen = func() {
			_, err := person.WriteString(typed + "\n")
			must(t, err)
		}
		if got, err := c.Yes(t.Context(), "?"); got != want || err != nil {
			t.Errorf("%q: %t, %v", typed, got, err)
		}
	}
	asked.seen = func() {
		_, err := person.Write([]byte{4}) // ^D
		must(t, err)
	}
	if got, err := c.Yes(t.Context(), "?"); got || err == nil {
		t.Errorf("the end of the input: %t, %v", got, err)
	}
}

// Somebody who pressed return once too often at the question before has not answered this one.
func TestWhatWasTypedBeforeTheQuestionIsNoAnswer(t *testing.T) {
	person, program := terminal(t)
	_, err := person.WriteString("y\ny\n")
	must(t, err)
	var asked prompt
	asked.seen = func() {
		_, err := person.WriteString("n\n")
		must(t, err)
	}
	if got, err := NewConsole(program, &asked).Yes(t.Context(), "?"); got || err != nil {
		t.Errorf("%t, %v", got, err)
	}
}

func TestAQuestionEndsWithASignal(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	_, program := terminal(t)
	stopped := errors.New("stopped")
	ctx, stop := context.WithCancelCause(t.Context())
	var asked prompt
	asked.seen = func() { stop(stopped) }
	if got, err := NewConsole(program, &asked).Yes(ctx, "Repair?"); got || !errors.Is(err, stopped) {
		t.Errorf("%t, %v", got, err)
	}
	if !strings.Contains(asked.String(), "Repair? [y/N]") {
		t.Errorf("%q", asked.String())
	}
}

type prompt struct {
	bytes.Buffer
	seen func()
}

func (p *prompt) Write(text []byte) (int, error) { defer p.seen(); return p.Buffer.Write(text) }

func TestWhatIsNoTerminalIsAskedNothing(t *testing.T) {
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer null.Close() //nolint:errcheck // it was read
	if NewConsole(null, nil).Terminal() || NewConsole(nil, nil).Terminal() {
		t.Error("/dev/null or nothing is a terminal")
	}
}
