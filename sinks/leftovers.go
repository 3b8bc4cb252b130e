package sinks

import (
	"crypto/rand"
	"os"
	"strings"
	"syscall"
	"time"
)

// leftAfter is how old a file beside another must be to be one that a killed process left: no clock of a file server is that
// wrong. It is no time that a run may take: its files are locked.
const leftAfter = 24 * time.Hour

func tempPrefix(flag string) string { return ".synupkeep-" + flag + "." }

const tempSuffix = ".tmp"

// tempName is what a file is called until it is complete.
func tempName(flag string) string { return tempPrefix(flag) + rand.Text() + tempSuffix }

// isTempName says whether tempName makes such names.
func isTempName(name, flag string) bool {
	text, begins := strings.CutPrefix(name, tempPrefix(flag))
	text, ends := strings.CutSuffix(text, tempSuffix)
	return begins && ends && len(text) == len(rand.Text()) && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// removeLeftovers removes what killed processes left in a directory, where they could not complete their files. What cannot
// be removed stays: the new file is what matters.
func removeLeftovers(dir *os.Root, flag string) {
	list, err := dir.Open(".")
	if err != nil {
		return
	}
	defer func() { _ = list.Close() }() // it was only read
	for {
		entries, err := list.ReadDir(1000)
		for _, entry := range entries {
			if isTempName(entry.Name(), flag) {
				removeLeftover(dir, entry.Name())
			}
		}
		if err != nil {
			return
		}
	}
}

// removeLeftover removes a file that is old, and that nobody writes any more.
func removeLeftover(dir *os.Root, name string) {
	info, err := dir.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) <= leftAfter {
		return
	}
	// Some network file systems lock only what is open for writing. Without O_NONBLOCK a pipe that has come to be there would wait.
	file, err := dir.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }() // nothing was written
	if opened, err := file.Stat(); err != nil || !os.SameFile(info, opened) || lock(file) != nil {
		return
	}
	_ = dir.Remove(name)
}

// lock says to other processes that the file is in use, until it is closed; an error says that it may be in use by another.
func lock(file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = conn.Control(func(fd uintptr) { refused = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) })
	if err != nil {
		return err
	}
	return refused
}
