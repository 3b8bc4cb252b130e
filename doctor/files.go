package doctor

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"synupkeep/internal/journal"
)

// space is what a file system has.
type space struct {
	size, free       uint64 // bytes, free for others than root
	files, filesFree uint64 // inodes; 0 where it makes them as it needs them
	readOnly         bool
	on               string // which one: its type, what it is mounted from and where
}

func spaceOf(path string) (space, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return space{}, err
	}
	block := uint64(stat.Bsize)
	return space{
		size: stat.Blocks * block, free: stat.Bavail * block, files: stat.Files, filesFree: stat.Ffree,
		readOnly: stat.Flags&unix.ST_RDONLY != 0, on: mounted(path),
	}, nil
}

// mounted says on which file system a path is, "" where the system does not tell.
func mounted(path string) string {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return ""
	}
	device := fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev))
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer file.Close() //nolint:errcheck // it was only read
	best, on := -1, ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		before, after, found := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !found || len(left) < 5 || len(right) < 2 || left[2] != device {
			continue
		}
		if at := left[4]; len(at) > best && within(path, at) {
			best, on = len(at), fmt.Sprintf("%s %s at %s", right[0], right[1], at)
		}
	}
	return on
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// writable asks the system whether we may make files in a directory.
func writable(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

func ownerOf(info os.FileInfo) uint32 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Uid
	}
	return 0
}

// checkParent is for a state directory that the first run will make.
func (e *exam) checkParent(dir string) finding {
	if _, err := os.Stat(e.cfg.MediaStore); err != nil && within(dir, e.cfg.MediaStore) {
		return notChecked("no media store, in which it would be made")
	}
	parent := filepath.Dir(dir)
	for parent != filepath.Dir(parent) {
		if _, err := os.Stat(parent); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		parent = filepath.Dir(parent)
	}
	if err := writable(parent); err != nil {
		return finding{
			result: Failure, found: fmt.Sprintf("%s is not there, and we may not make it: %s: %v (we are uid %d)", dir, parent, err, e.world.uid),
			means: "A run writes there which files are still to be deleted before it deletes a row: without that it is refused.",
			do:    "Make it and give it to the user that synupkeep runs as, or name another: --state-dir.",
		}
	}
	return fine("%s is not there yet: the first run makes it", dir)
}

// checkJournal looks for what an earlier run has left in the state directory.
func (e *exam) checkJournal(dir string) finding {
	if e.serverName == "" {
		return fine("%s is ours to write in", dir)
	}
	name := "journal-" + url.PathEscape(e.serverName) + ".jsonl"
	peek, damage, err := journal.Look(dir, name)
	if err != nil {
		return finding{
			result: Failure, found: err.Error(), means: "A run cannot tell what an earlier one has left to do: it is refused.",
			do: "Look whose the file is, and whether the disk is in order.",
		}
	}
	defer peek.Close()
	rows := 0
	for _, batch := range peek.Batches() {
		rows += batch.Rows
	}
	if damage.Lines > 0 {
		return finding{
			result: Warning, found: plural(damage.Lines, "line", "lines") + " of the journal " + filepath.Join(dir, name) + " cannot be read",
			means: "Files of media whose rows are gone may stay behind for that. Nothing wrong is deleted.", do: "Look whether the disk is in order.",
		}
	}
	if rows > 0 {
		return finding{
			result: Warning, found: "an earlier run ended before it had deleted the files of " + plural(rows, "medium", "media") + " whose rows are gone",
			means: "Nobody can see them, and they still use space (or a run is at work now).", do: "Nothing: the next run finishes it.",
		}
	}
	return fine("%s is ours to write in, and no earlier run has left anything", dir)
}
