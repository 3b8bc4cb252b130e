package references

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"syscall"
)

// Head says what a memory is of: which database, and how far it was read.
type Head struct {
	// Database tells the database from every other one, as far as can be told.
	Database string `json:"database"`
	// Transaction is the id of the next transaction when the memory was begun. In a database that was put back to an
	// earlier state, such as a snapshot of its disk, it is lower again for a while.
	Transaction int64 `json:"transaction"`
	// High and Low are the stream orderings between which, both included, all events were read.
	High int64 `json:"high"`
	Low  int64 `json:"low"`
	// Anchors are events as they lay in the database. In one that was restored, others lie in their places.
	Anchors []Anchor `json:"anchors"`
}

// Anchor is an event and its place in the stream.
type Anchor struct {
	Stream  int64  `json:"stream"`
	EventID string `json:"event"`
}

// Memory is the file that remembers which local media the events of a server name. One run at a time may write it; the
// lock of the run sees to that.
type Memory struct {
	dir, name string
	readOnly  bool
}

// In returns the memory of a server in the state directory. Several servers may share one.
func In(dir, serverName string) *Memory {
	return &Memory{dir: dir, name: "references-" + url.PathEscape(serverName) + ".bin"}
}

// ReadOnly returns the same memory for who must not write to disk.
func (m *Memory) ReadOnly() *Memory { return &Memory{dir: m.dir, name: m.name, readOnly: true} }

// ErrNothing says that nothing is remembered yet.
var ErrNothing = errors.New("nothing is remembered yet")

// UnreadableError says that there is a memory, and why it cannot be used.
type UnreadableError struct {
	Name string
	Err  error
}

func (e *UnreadableError) Error() string { return fmt.Sprintf("%s cannot be used: %v", e.Name, e.Err) }

func (e *UnreadableError) Unwrap() error { return e.Err }

// Read opens what an earlier run remembered. The whole file has been compared with its checksum when it returns. The error
// is ErrNothing or an *UnreadableError; after either everything must be read from the database.
func (m *Memory) Read() (*Reader, error) {
	file, err := m.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNothing
	}
	if err != nil {
		if file != nil {
			_ = file.Close() // it was not even read
		}
		return nil, &UnreadableError{Name: m.name, Err: err}
	}
	r := &Reader{file: file}
	size, err := verify(file)
	if err == nil {
		err = r.begin(io.NewSectionReader(file, 0, size))
	}
	if err != nil {
		_ = file.Close() // it was only read
		return nil, &UnreadableError{Name: m.name, Err: err}
	}
	return r, nil
}

func (m *Memory) open() (*os.File, error) {
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		return nil, err
	}
	file, err := root.Open(m.name)
	if err == nil {
		err = trusted(root, file)
	}
	return file, errors.Join(err, root.Close())
}

// trusted refuses what another user of the machine has written or could have: a memory by which nothing is shown would have all
// go.
func trusted(dir *os.Root, file *os.File) error {
	above, err := dir.Stat(".")
	if err != nil {
		return err
	}
	own, err := file.Stat()
	if err != nil {
		return err
	}
	const others = 0o002
	if (above.Mode()|own.Mode()).Perm()&others != 0 {
		return fmt.Errorf("everybody may write to it or to its directory (modes %v and %v)", own.Mode(), above.Mode())
	}
	stat, ok := own.Sys().(*syscall.Stat_t)
	if us := os.Geteuid(); ok && stat.Uid != 0 && int(stat.Uid) != us {
		return fmt.Errorf("it belongs to uid %d, and we are uid %d", stat.Uid, us)
	}
	return nil
}

// Write begins a new memory beside the old one, which it replaces with Commit. It returns nil for a memory that is
// read-only.
func (m *Memory) Write(head Head) (*Writer, error) {
	if m.readOnly {
		return nil, nil
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		return nil, fmt.Errorf("open the state directory: %w", err)
	}
	temp := m.name + ".new"
	// What a killed run left, or somebody else put there, is not written to: its owner and mode would stay.
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("write %s: %w", temp, err), root.Close())
	}
	file, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", temp, err), root.Close())
	}
	w := &Writer{root: root, file: file, name: m.name, temp: temp}
	if err := w.begin(head); err != nil {
		w.Abort()
		return nil, fmt.Errorf("write %s: %w", temp, err)
	}
	return w, nil
}
