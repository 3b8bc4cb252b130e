package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	databaseName = "synapse"
	roleSynapse  = "synapse"
	// roleOutsider may connect and owns nothing.
	roleOutsider = "outsider"

	tempPrefix  = "synupkeep-sandbox-"
	stopTimeout = 20 * time.Second
)

// Options of a sandbox. The zero value is right for most tests.
type Options struct {
	// Dir is the sandbox's own directory, which keeps its data between two starts. Empty means a fresh temporary
	// directory that Stop removes.
	Dir string
	// ServerName is Synapse's server_name; empty means that of the directory, else localhost.
	ServerName string
	// Env is added to Synapse's environment, such as TZ=America/New_York (the default is UTC).
	Env []string
	// ExtraConfig is YAML that Synapse reads after its own configuration: its top-level keys replace those.
	ExtraConfig string
	// FreshCluster throws away what Dir holds and lets initdb and Synapse make a new database instead of copying the
	// cached one (2 s slower).
	FreshCluster bool
	// Synapse is one of [Releases]; empty means that of $SYNUPKEEP_SANDBOX_SYNAPSE, else the newest.
	Synapse string
	// Postgres is one of [PostgresMajors], or the absolute directory of the programs of another PostgreSQL; empty means
	// that of $SYNUPKEEP_SANDBOX_POSTGRES, else the newest.
	Postgres string
	// Hasty lets Synapse find within seconds, not minutes, what a killed one has left: tasks that nobody works on any
	// more, and locks that nobody holds.
	Hasty bool
	// Log receives a line for each slow step; nil means silence.
	Log io.Writer

	mode   *rootMode // tests: how to start PostgreSQL
	member *member   // of a federation
}

// Server is a running PostgreSQL with a running Synapse. Its methods that start, stop or reset are not to be called at
// the same time as others.
type Server struct {
	options Options
	dir     string
	temp    bool
	release string // of Synapse
	env     environment

	programs programs
	cache    string
	lock     *os.File
	state    state
	cluster  *cluster
	synapse  *process
	apiPort  int
	http     *http.Client

	users   sync.Mutex
	known   map[string]bool // users that are registered, by localpart
	stopped bool
}

// Start starts a sandbox. The first one on a machine installs the virtual environment (half a minute); later ones take
// 1.5 s.
func Start(ctx context.Context, o Options) (*Server, error) {
	s := &Server{
		options: o, known: map[string]bool{},
		http: &http.Client{Transport: &http.Transport{MaxIdleConns: 64, MaxIdleConnsPerHost: 64}},
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("sandbox: %w", err), s.Stop())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	mode := chooseRootMode(ctx)
	if s.options.mode != nil {
		mode = *s.options.mode
	}
	var err error
	if s.cache, err = cacheDir(mode); err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.takeDir(ctx); err != nil {
		return err
	}
	return s.startServers(ctx, mode)
}

func (s *Server) startServers(ctx context.Context, mode rootMode) error {
	ready, err := s.loadState()
	if err != nil {
		return err
	}
	name := s.options.ServerName
	if ready && name != "" && name != s.state.ServerName {
		return fmt.Errorf("%s is the sandbox of server %s, not of %s", s.dir, s.state.ServerName, name)
	}
	s.cluster = &cluster{
		bin: s.programs.bin, data: filepath.Join(s.dir, "pgdata"), socket: s.socketDir(),
		log: filepath.Join(s.dir, "postgres.log"), lock: s.lock, port: s.state.PGPort, mode: mode,
	}
	s.apiPort = s.state.APIPort
	if !ready || s.options.FreshCluster {
		if name == "" {
			name = "localhost"
		}
		if err := s.create(ctx, name); err != nil {
			return err
		}
	} else if err := s.programs.checkMajor(s.cluster.data); err != nil {
		return err
	} else if err := s.cluster.start(ctx); err != nil {
		return err
	}
	if err := s.StartSynapse(ctx); err != nil {
		return err
	}
	return s.saveState()
}

// takeDir makes and locks the directory. A killed predecessor's servers die within a moment; until then they hold the
// lock.
func (s *Server) takeDir(ctx context.Context) error {
	var err error
	if s.options.Dir == "" {
		sweepTemp()
		if s.dir, err = os.MkdirTemp("", tempPrefix); err != nil {
			return err
		}
		s.temp = true
	} else {
		if s.dir, err = filepath.Abs(s.options.Dir); err != nil {
			return err
		}
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Second, errors.New("a sandbox runs in this directory: stop it first"))
	defer cancel()
	if s.lock, err = lockFile(ctx, filepath.Join(s.dir, "lock")); err != nil {
		return err
	}
	if err := s.lock.Truncate(0); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.lock, os.Getpid())
	return err
}

// sweepTemp removes temporary directories of sandboxes that were killed. It does what it can: another user's stay.
func sweepTemp() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), tempPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Stat(filepath.Join(dir, "lock"))
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if lock, err := tryLock(filepath.Join(dir, "lock")); err == nil {
			_ = os.RemoveAll(dir)
			_ = lock.Close()
		}
	}
}

// socketDir is short enough for a Unix socket, whose path may have 107 bytes. Its name is always the same for the same
// directory, so that a killed predecessor leaves nothing behind.
func (s *Server) socketDir() string {
	dir := filepath.Join(s.dir, "socket")
	if len(dir) <= 85 {
		return dir
	}
	sum := sha256.Sum256([]byte(s.dir))
	return "/tmp/" + tempPrefix + "socket-" + strconv.Itoa(os.Geteuid()) + "-" + hex.EncodeToString(sum[:8])
}

// Stop ends both servers and removes a temporary directory. Stopping twice is allowed.
func (s *Server) Stop() error {
	if s.stopped {
		return nil
	}
	s.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	errs := []error{s.StopSynapse(ctx)}
	if s.cluster != nil {
		if s.temp {
			s.cluster.drop()
		} else {
			errs = append(errs, s.StopPostgres(ctx))
		}
		if filepath.Dir(s.cluster.socket) != s.dir {
			errs = append(errs, os.RemoveAll(s.cluster.socket))
		}
	}
	if s.temp {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// StopPostgres stops PostgreSQL; Synapse, if it is up, goes on without its database.
func (s *Server) StopPostgres(ctx context.Context) error { return s.cluster.stop(ctx) }

// StartPostgres starts PostgreSQL again on the same port. A Synapse that went on answers 500 once for each of its old
// connections.
func (s *Server) StartPostgres(ctx context.Context) error {
	if s.cluster.running() {
		return nil
	}
	port := s.cluster.port
	if err := s.cluster.start(ctx); err != nil {
		return err
	}
	if s.cluster.port != port {
		return fmt.Errorf("restart postgres: port %d was taken meanwhile", port)
	}
	return nil
}

// DB connects to Synapse's database as superuser through the private socket. The caller closes the connection.
func (s *Server) DB(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, s.cluster.superuser(databaseName))
	if err != nil {
		return nil, fmt.Errorf("sandbox database: %w", err)
	}
	return conn, nil
}

// WithDB calls f with a superuser's connection to Synapse's database.
func (s *Server) WithDB(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	return s.withDatabase(ctx, databaseName, f)
}

func (s *Server) withDatabase(ctx context.Context, database string, f func(context.Context, *pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.cluster.superuser(database))
	if err != nil {
		return fmt.Errorf("sandbox database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return f(ctx, conn)
}

// WhileDown stops Synapse, calls f with a superuser's connection and starts Synapse again on the same port. Events and
// state must not be changed under a running Synapse, which caches them.
func (s *Server) WhileDown(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	if err := s.StopSynapse(ctx); err != nil {
		return err
	}
	return errors.Join(s.WithDB(ctx, f), s.StartSynapse(ctx))
}
