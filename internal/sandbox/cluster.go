package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// nobody is the uid and gid PostgreSQL sees when the caller is root, which it refuses. initdb wants a uid that has a
// passwd entry; this one has it everywhere.
const nobody = 65534

// rootMode is how PostgreSQL, which refuses to run as root, is started.
type rootMode int

const (
	direct      rootMode = iota // the caller is an ordinary user
	userNS                      // root: a user namespace shows root as nobody, all files stay root's
	credentials                 // root without user namespaces: run as nobody, its files are given to nobody
)

// cluster is a PostgreSQL with its data directory.
type cluster struct {
	bin    string
	data   string // PGDATA
	socket string // directory of the Unix socket, at most about 90 bytes
	log    string
	mode   rootMode
	more   []string // settings beside those of every cluster, or in their place
	port   int
	lock   *os.File // inherited by the server: the directory stays locked while it lives
	proc   *process
}

// chooseRootMode finds out by trying: a container may forbid user namespaces.
func chooseRootMode(ctx context.Context) rootMode {
	if os.Geteuid() != 0 {
		return direct
	}
	cmd := exec.CommandContext(ctx, "true")
	cmd.SysProcAttr = (&cluster{mode: userNS}).attributes()
	if cmd.Run() == nil {
		return userNS
	}
	return credentials
}

func (c *cluster) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	switch c.mode {
	case direct:
	case userNS:
		a.Cloneflags = syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getegid(), Size: 1}}
	case credentials:
		a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return a
}

// hba lets the superuser in through the private socket only and everybody else with a password only.
const hba = `# TYPE  DATABASE  USER      ADDRESS       METHOD
local   all       postgres                trust
local   all       all                     reject
host    all       postgres  127.0.0.1/32  reject
host    all       all       127.0.0.1/32  scram-sha-256
`

// initialise makes an empty cluster (0.35 s).
func (c *cluster) initialise(ctx context.Context) error {
	if err := c.own(c.data); err != nil {
		return err
	}
	if c.mode == credentials {
		if err := passable(filepath.Dir(c.bin)); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "initdb"), "-D", c.data, "-U", "postgres", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions", "--wal-segsize=4")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = c.attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb %s: %w\n%s", c.data, err, tail(out, 4000))
	}
	return nil
}

// own makes dir and gives it to the uid that PostgreSQL runs as.
func (c *cluster) own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// The directory of the socket may lie in /tmp, where another user could have made it.
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || (int(st.Uid) != os.Geteuid() && st.Uid != nobody) {
		return fmt.Errorf("%s is not ours: remove it", dir)
	}
	if c.mode != credentials {
		return os.Chmod(dir, 0o700)
	}
	if err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	}); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // the sandbox's own directory
		return err
	}
	return passable(dir)
}

// passable checks that nobody can reach what lies in dir's parent. It opens no directory that others may have closed.
func passable(dir string) error {
	for d := filepath.Dir(dir); d != "/"; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("PostgreSQL runs as uid %d here and cannot pass %s (mode %v): "+
				"use a directory that others can pass, for the sandbox and for SYNUPKEEP_SANDBOX_CACHE", nobody, d, info.Mode().Perm())
		}
	}
	return nil
}

// start starts the server on c.port, or on a free port when that is 0 or taken.
func (c *cluster) start(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(c.data, "pg_hba.conf"), []byte(hba), 0o644); err != nil {
		return err
	}
	// Whoever holds the directory's lock knows that no server of a predecessor lives; the number in its pid file may be
	// that of any other process by now.
	if err := os.RemoveAll(filepath.Join(c.data, "postmaster.pid")); err != nil {
		return err
	}
	if err := c.own(c.data); err != nil {
		return err
	}
	if err := c.own(c.socket); err != nil {
		return err
	}
	return retryPorts(c.port, func(port int) error {
		c.port = port
		return c.startOnPort(ctx)
	})
}

// errPortTaken means that another process took the port between its choice and its use.
var errPortTaken = errors.New("port is taken")

// retryPorts calls start with the wanted port, if any, then with free ports, until one is not taken.
func retryPorts(wanted int, start func(port int) error) error {
	var err error
	for attempt := range 6 {
		port := wanted
		if attempt > 0 || port == 0 || !portFree(port) {
			if port, err = freePort(); err != nil {
				return err
			}
		}
		if err = start(port); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

func portFree(port int) bool {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func freePort() (int, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("free port: %v is not a TCP address", l.Addr())
	}
	return addr.Port, nil
}

func (c *cluster) startOnPort(ctx context.Context) error {
	for _, left := range []string{".s.PGSQL." + strconv.Itoa(c.port), ".s.PGSQL." + strconv.Itoa(c.port) + ".lock"} {
		if err := os.RemoveAll(filepath.Join(c.socket, left)); err != nil {
			return err
		}
	}
	args := []string{"-D", c.data, "-p", strconv.Itoa(c.port), "-k", c.socket}
	for _, setting := range []string{
		"listen_addresses=127.0.0.1", "max_connections=150", "password_encryption=scram-sha-256",
		// Nothing waits for the disk; what was committed survives a kill of the server, not of the machine.
		"fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0",
		"max_wal_size=2GB", "checkpoint_timeout=1h", "shared_buffers=128MB",
		"timezone=UTC", "log_min_messages=warning", "dynamic_shared_memory_type=posix",
	} {
		args = append(args, "-c", setting)
	}
	for _, setting := range c.more {
		args = append(args, "-c", setting)
	}
	// The server outlives the start and its context.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(c.bin, "postgres"), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = c.attributes()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	if c.lock != nil {
		cmd.ExtraFiles = []*os.File{c.lock}
	}
	proc, err := startProcess("postgres", cmd, c.log)
	if err != nil {
		return err
	}
	err = poll(ctx, 5*time.Millisecond, func() (bool, error) {
		if proc.ended() {
			text := proc.logTail()
			if strings.Contains(text, "could not create any TCP/IP sockets") {
				return false, fmt.Errorf("start postgres on port %d: %w", c.port, errPortTaken)
			}
			return false, fmt.Errorf("start postgres: it ended: %w\n%s", proc.err, text)
		}
		b, err := os.ReadFile(filepath.Join(c.data, "postmaster.pid"))
		if err != nil {
			return false, nil //nolint:nilerr // not written yet
		}
		lines := strings.Split(string(b), "\n")
		return len(lines) >= 8 && strings.TrimSpace(lines[7]) == "ready", nil
	})
	if err != nil {
		proc.end(syscall.SIGQUIT)
		return err
	}
	c.proc = proc
	return nil
}

func (c *cluster) running() bool { return c.proc != nil && !c.proc.ended() }

// stop shuts the server down: sessions are ended, transactions rolled back.
func (c *cluster) stop(ctx context.Context) error {
	if !c.running() {
		c.proc = nil
		return nil
	}
	err := c.proc.stop(ctx, syscall.SIGINT)
	c.proc = nil
	return err
}

// drop ends a server whose data nobody wants any more: what it has in memory is not written to disk, which can take longer
// than anybody waits where other servers write as well.
func (c *cluster) drop() {
	if c.running() {
		c.proc.end(syscall.SIGQUIT)
	}
	c.proc = nil
}

// superuser is the connection string of the superuser through the private socket.
func (c *cluster) superuser(database string) string {
	return fmt.Sprintf("host=%s port=%d user=postgres dbname=%s sslmode=disable", quoteConn(c.socket), c.port, database)
}

// quoteConn quotes a value for a libpq keyword string.
func quoteConn(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}
