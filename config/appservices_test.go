package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const registration = `id: telegram
as_token: yamlsecret
sender_localpart: telegrambot
namespaces: {users: [{exclusive: true, regex: '@telegram_.*'}]}
`

// withBridges is a data directory with a bridge of the image's, and one that homeserver.yaml names.
func withBridges(t *testing.T) (dir string) {
	t.Helper()
	irc := filepath.Join(data(t, "irc.yaml", strings.NewReplacer("telegram", "irc").Replace(registration)), "irc.yaml")
	dir = data(t, "homeserver.yaml", homeserverYAML+"app_service_config_files: ["+irc+"]\n")
	if err := os.Mkdir(filepath.Join(dir, "appservices"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "appservices", "telegram.yaml"), []byte(registration), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBridgesAreThoseOfSynapsesConfigurationAndOfItsImage(t *testing.T) {
	cfg := parseIn(t, withBridges(t), onlyToken(), "run", "--delta", "30d")
	for user, want := range map[string]string{
		"@telegram_1:hs.example": "telegram", "@telegrambot:hs.example": "telegram", "@irc_x:hs.example": "irc", "@alice:hs.example": "",
	} {
		if got := cfg.BridgeOf(user, "hs.example"); got != want {
			t.Errorf("%s is of %q, want %q", user, got, want)
		}
	}
	if cfg.Media.KeepBridged || len(cfg.Warnings) != 0 {
		t.Errorf("%+v, %q", cfg.Media, cfg.Warnings)
	}
}

func TestTheMediaOfBridgesIsKeptByAWord(t *testing.T) {
	dir := withBridges(t)
	cfg := parseIn(t, dir, onlyToken(), "run", "--delta", "30d", "--keep-user", "bridges", "--keep-user", "@bot:*")
	if !cfg.Media.KeepBridged || !slices.Equal(cfg.Media.KeepUsers, []string{"@bot:*"}) {
		t.Errorf("%+v", cfg.Media)
	}
	if got := cfg.Deciding()["keep-user"]; !slices.Equal(got, []string{"@bot:*", "bridges"}) {
		t.Errorf("%q", got)
	}
	// Whom to keep must be known.
	text := errorsIn(t, data(t, "homeserver.yaml", homeserverYAML), onlyToken(), "run", "--delta", "30d", "--keep-user", "bridges")
	if !strings.Contains(text, "no application service is known") {
		t.Error(text)
	}
	if err := os.WriteFile(filepath.Join(dir, "appservices", "broken.yaml"), []byte("- yamlsecret"), 0o600); err != nil {
		t.Fatal(err)
	}
	text = errorsIn(t, dir, onlyToken(), "run", "--delta", "30d", "--keep-user", "bridges")
	if !strings.Contains(text, "broken.yaml") || strings.Contains(text, "yamlsecret") {
		t.Error(text)
	}
	// Without the word nobody needs them.
	if cfg := parseIn(t, dir, onlyToken(), "run", "--delta", "30d"); len(cfg.AppServices) != 2 || len(cfg.Warnings) != 0 {
		t.Errorf("%+v, %q", cfg.AppServices, cfg.Warnings)
	}
}
