package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheMediaStoreIsKnownBeforeAnythingIsRead(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		args []string
		want []string
	}{
		{nil, []string{"run"}, []string{"/data/media_store", "/data/media"}},
		{map[string]string{"SYNUPKEEP_MEDIA_STORE_PATH": "/old"}, nil, []string{"/old"}},
		{map[string]string{"SYNUPKEEP_MEDIA_STORE": "/new"}, []string{"cron", "--run-now"}, []string{"/new"}},
		{map[string]string{"SYNUPKEEP_MEDIA_STORE": "/new"}, []string{"run", "-m", "/arg"}, []string{"/arg"}},
		{nil, []string{"host=db", "--media-store=/arg", "token"}, []string{"/arg"}},
		{nil, []string{"--delta", "--media-store"}, []string{"/data/media_store", "/data/media"}},
	} {
		in := input(test.env, test.args...)
		in.DataDir = "/data"
		if diff := cmp.Diff(test.want, MediaStores(in)); diff != "" {
			t.Errorf("%v %q: %s", test.env, test.args, diff)
		}
	}
}
