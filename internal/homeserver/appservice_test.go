package homeserver_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/homeserver"
	"synupkeep/internal/sandbox"
)

const telegram = `id: telegram
as_token: hunter2hunter2
hs_token: hunter2hunter2
url: http://telegram:8080
sender_localpart: telegrambot
namespaces:
  users:
  - {exclusive: false, regex: '@telegram_people_.*:hs\.example'}
  - {exclusive: true, regex: '@telegram_[0-9]+|@tg.*'}
  - {exclusive: false, regex: '@.*:hs\.example'}
  aliases: [{exclusive: true, regex: '#telegram.*'}]
`

// asExclusive has Synapse say whose users are a service's.
const asExclusive = `
import json, sys
from synapse.config.appservice import load_appservices
[a] = load_appservices("hs.example", [sys.argv[1]])
print("\n" + json.dumps([a.is_exclusive_user(u) for u in sys.argv[2:]]))
`

func TestTheUsersOfABridgeAreThoseThatSynapseTakesForThem(t *testing.T) {
	s := sandbox.Shared(t)
	file := write(t, t.TempDir(), "telegram.yaml", telegram)
	users := []string{
		"@telegrambot:hs.example", "@telegrambot:other.example", "@telegram_1:hs.example", "@telegram_people_2:hs.example", "@telegram_x:hs.example",
		"@tg:hs.example", "@x@tg:hs.example", "@alice:hs.example", "@TELEGRAM_1:hs.example", "@telegrambot2:hs.example",
	}
	out, err := exec.CommandContext(t.Context(), s.Python(), append([]string{"-c", asExclusive, file}, users...)...).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var want, got []bool
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &want); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	list, err := homeserver.ReadAppServices(file)
	if err != nil || len(list) != 1 || list[0].ID != "telegram" {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, user := range users {
		got = append(got, list[0].Owns(user, "hs.example"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestARegistrationThatCannotBeReadIsNamedBesideThoseThatCan(t *testing.T) {
	dir := t.TempDir()
	good := write(t, dir, "good.yaml", telegram)
	for name, text := range map[string]string{
		"empty": "", "a list": "- hunter2hunter2", "without an id": "sender_localpart: hunter2hunter2\n", "without a sender": "id: hunter2hunter2\n",
		"a regex of Python's": "id: x\nsender_localpart: y\nnamespaces: {users: [{exclusive: true, regex: '(?!hunter2hunter2)'}]}\n",
	} {
		bad := write(t, dir, strings.ReplaceAll(name, " ", "-")+".yaml", text)
		list, err := homeserver.ReadAppServices(bad, good)
		if err == nil || !strings.Contains(err.Error(), bad) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		if len(list) != 1 || list[0].ID != "telegram" {
			t.Errorf("%s: %+v", name, list)
		}
	}
	if _, err := homeserver.ReadAppServices(filepath.Join(dir, "none.yaml")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
}

func FuzzReadAppServices(f *testing.F) {
	f.Add(telegram, "@telegram_1:hs.example")
	f.Fuzz(func(t *testing.T, text, user string) {
		path := filepath.Join(t.TempDir(), "a.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		list, _ := homeserver.ReadAppServices(path)
		for _, a := range list {
			_ = a.Owns(user, "hs.example")
		}
	})
}
