package sandbox

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// state is what a sandbox keeps between two starts in the same directory. It is written when the cluster is ready, so
// that its absence means a half-made one.
type state struct {
	ServerName string `json:"server_name"`
	Password   string `json:"password"`    // of both database roles
	SigningKey string `json:"signing_key"` // seed, base64 without padding
	Secret     string `json:"secret"`      // everything of Synapse's that has to be secret and is not used here
	ASToken    string `json:"as_token"`
	AdminToken string `json:"admin_token"`
	PGPort     int    `json:"pg_port"`
	APIPort    int    `json:"api_port"`
}

func newState(serverName string) state {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	return state{
		ServerName: serverName, Password: rand.Text(), SigningKey: base64.RawStdEncoding.EncodeToString(seed),
		Secret: rand.Text(), ASToken: rand.Text(), AdminToken: "syt_" + rand.Text(),
	}
}

// key is the server's signing key.
func (st state) key() (ed25519.PrivateKey, error) {
	seed, err := base64.RawStdEncoding.DecodeString(st.SigningKey)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("signing key of the sandbox is damaged")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func (s *Server) statePath() string { return filepath.Join(s.dir, "sandbox.json") }

// loadState says whether the directory holds a complete sandbox.
func (s *Server) loadState() (bool, error) {
	b, err := os.ReadFile(s.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, &s.state); err != nil {
		return false, fmt.Errorf("%s: %w", s.statePath(), err)
	}
	return true, nil
}

func (s *Server) saveState() error {
	s.state.PGPort, s.state.APIPort = s.cluster.port, s.apiPort
	b, err := json.MarshalIndent(s.state, "", "  ")
	if err != nil {
		return err
	}
	return writeFileAtomic(s.statePath(), b, 0o600)
}

// writeFileAtomic puts a whole file in place or none.
func writeFileAtomic(path string, b []byte, mode fs.FileMode) error {
	if err := os.WriteFile(path+".new", b, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
