package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// WriteEnv writes what synupkeep needs to work on this server: sandbox.env, to be read by a shell, with the connection
// string, the API and the media store, and the admin's token in the file token. Both are readable by the owner only.
func (s *Server) WriteEnv() error {
	var b strings.Builder
	for _, v := range [][2]string{
		{"SYNUPKEEP_POSTGRES_CONNECTION_STRING", s.ConnString()},
		{"SYNUPKEEP_SYNAPSE_API_URL", s.APIURL()},
		{"SYNUPKEEP_MEDIA_STORE_PATH", s.MediaStore()},
		{"SYNUPKEEP_TOKEN_FILE", filepath.Join(s.dir, "token")},
	} {
		fmt.Fprintf(&b, "export %s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
	}
	return errors.Join(
		writeFileAtomic(filepath.Join(s.dir, "token"), []byte(s.AdminToken()+"\n"), 0o600),
		writeFileAtomic(filepath.Join(s.dir, "sandbox.env"), []byte(b.String()), 0o600),
	)
}

// Running returns the process that runs a sandbox in dir, 0 when there is none. The directory's lock decides; a number
// in a file alone may be that of another process by now.
func Running(dir string) (int, error) {
	path := filepath.Join(dir, "lock")
	if _, err := os.Stat(path); err != nil {
		return 0, nil //nolint:nilerr // never used
	}
	lock, err := tryLock(path)
	if err == nil {
		return 0, lock.Close()
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s is locked, but names no process", path)
	}
	return pid, nil
}
