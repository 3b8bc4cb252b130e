package mediastore

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// entryType is what a name in a directory stands for.
type entryType uint8

const (
	absent entryType = iota
	fileEntry
	dirEntry
	linkEntry
	otherEntry
)

func notDirectory(kind entryType) error {
	if kind == linkEntry {
		return ErrSymlink
	}
	return ErrNotDirectory
}

func notFile(kind entryType) error {
	switch kind {
	case fileEntry:
		return nil
	case linkEntry:
		return errLinkedFile
	case absent, dirEntry, otherEntry:
	}
	return ErrNotFile
}

var errLinkedFile = errors.New("is a symbolic link: Synapse makes none")

// entry is a name in a directory.
type entry struct {
	name string
	kind entryType
}

const direntBuffer = 32 << 10

// names reads a directory, in byte order of the names. A name costs no look at what it stands for, unless the file system
// does not tell.
func (w *walk) names(dir int) ([]entry, error) {
	if w.buf == nil {
		w.buf = make([]byte, direntBuffer)
	}
	var all []entry
	for {
		n, err := unix.ReadDirent(dir, w.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOENT): // it was removed meanwhile
			return all, nil
		case err != nil:
			return nil, err
		case n <= 0:
			slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
			return all, nil
		}
		if all, err = w.parse(dir, w.buf[:n], all); err != nil {
			return nil, err
		}
	}
}

func (w *walk) parse(dir int, buf []byte, all []entry) ([]entry, error) {
	const (
		lengthAt = unsafe.Offsetof(unix.Dirent{}.Reclen)
		typeAt   = unsafe.Offsetof(unix.Dirent{}.Type)
		nameAt   = unsafe.Offsetof(unix.Dirent{}.Name)
	)
	for uintptr(len(buf)) > nameAt {
		length := int(binary.NativeEndian.Uint16(buf[lengthAt:]))
		if length <= int(nameAt) || length > len(buf) {
			return nil, errors.New("the kernel gave something else than the names of a directory")
		}
		record := buf[nameAt:length]
		kind := buf[typeAt]
		buf = buf[length:]
		if end := slices.Index(record, 0); end >= 0 {
			record = record[:end]
		}
		if string(record) == "." || string(record) == ".." {
			continue
		}
		e := entry{name: string(record), kind: kindOfEntry(kind)}
		if kind == unix.DT_UNKNOWN {
			var err error
			if e.kind, err = look(dir, e.name); err != nil {
				return nil, err
			}
		}
		if e.kind != absent {
			all = append(all, e)
		}
	}
	return all, nil
}

func kindOfEntry(kind uint8) entryType {
	switch kind {
	case unix.DT_REG:
		return fileEntry
	case unix.DT_DIR:
		return dirEntry
	case unix.DT_LNK:
		return linkEntry
	}
	return otherEntry
}

// look asks what a name stands for on file systems that do not tell with the names.
func look(dir int, name string) (entryType, error) {
	var stat unix.Stat_t
	err := unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return absent, nil
	case err != nil:
		return absent, err
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return fileEntry, nil
	case unix.S_IFDIR:
		return dirEntry, nil
	case unix.S_IFLNK:
		return linkEntry, nil
	}
	return otherEntry, nil
}

// merge goes through two sorted lists at once.
func merge(lists [2][]entry, f func(name string, types [2]entryType) error) error {
	for len(lists[0])+len(lists[1]) > 0 {
		first := 0
		if len(lists[0]) == 0 || len(lists[1]) > 0 && lists[1][0].name < lists[0][0].name {
			first = 1
		}
		name := lists[first][0].name
		var types [2]entryType
		for i := range lists {
			if len(lists[i]) > 0 && lists[i][0].name == name {
				types[i] = lists[i][0].kind
				lists[i] = lists[i][1:]
			}
		}
		if err := f(name, types); err != nil {
			return err
		}
	}
	return nil
}
