package synapse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type fixed string

func (f fixed) Token() string { return string(f) }
func (f fixed) Renew() bool   { return false }

// A server that takes the call and says nothing more is given up after callTimeout, in virtual time.
func TestServerThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClient("http://synapse.invalid", fixed("secret"))
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				for buffer := make([]byte, 1024); ; {
					if _, err := theirs.Read(buffer); err != nil {
						return
					}
				}
			}()
			return ours, nil
		}}
		c.http.Transport = transport
		began := time.Now()
		_, err := c.StartPurge(t.Context(), "!r:s", "$e")
		if took := time.Since(began); took != callTimeout {
			t.Errorf("given up after %v", took)
		}
		if Classify(err) != Unavailable || !IsAmbiguous(err) || !strings.HasSuffix(err.Error(), "no answer within 30s") {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.CheckAdmin(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the end of the caller's context is not the server's doing: %v", err)
		}
		c.Close()
		transport.CloseIdleConnections()
	})
}

func TestHiccupIsTriedAFewTimesMore(t *testing.T) {
	again := Again()
	hiccup := fmt.Errorf("purge: %w", &Error{Status: 500, Code: "M_UNKNOWN"})
	away := &TransportError{Err: errors.New("reset")}
	for range patience {
		if more, _ := again(hiccup); !more {
			t.Error("the first ones are forgiven")
		}
	}
	if more, _ := again(away); !more {
		t.Error("a server that is away is waited for")
	}
	if more, _ := again(hiccup); more {
		t.Error("one more is not")
	}
	for _, err := range []error{
		errors.New("other"), &Error{Status: 401}, &Error{Status: 400, Code: "M_BAD_JSON"},
		&Error{Status: 404, Code: "M_NOT_FOUND"}, &Error{Status: 404, Foreign: true},
	} {
		if more, _ := Again()(err); more {
			t.Errorf("tried again: %v", err)
		}
	}
}

func TestAdviceOnlyForCalls(t *testing.T) {
	if got := Advice(errors.New("count the server's tasks: conn closed")); got != "" {
		t.Errorf("advice %q about an error that is none of the API", got)
	}
}

// Whatever answers, an error is made of it that is short, of one line, and of one class.
func FuzzAnswer(f *testing.F) {
	f.Add(502, "", []byte("<html>"))
	f.Add(429, "7", []byte(`{"errcode":"M_LIMIT_EXCEEDED","error":"x","retry_after_ms":1e999}`))
	f.Add(404, "Wed, 21 Oct 2015 07:28:30 GMT", []byte(`{"errcode":"M_NOT_FOUND","error":"\u0000\n\ud800"}`))
	f.Add(401, "0x1p99", []byte(`{"errcode":{}}`))
	f.Fuzz(func(t *testing.T, status int, after string, body []byte) {
		e := newError("GET", "http://s", status, http.Header{"Retry-After": {after}}, body)
		if e.RetryAfter < 0 || e.RetryAfter > longestPause {
			t.Errorf("pause %v", e.RetryAfter)
		}
		text := e.Error()
		if strings.ContainsAny(text, "\n\r\x00\x1b") || len([]rune(text)) > 800 {
			t.Errorf("text %q", text)
		}
		if e.Foreign != (e.Code == "") && !e.Foreign {
			t.Errorf("an answer of Synapse's without a code: %+v", e)
		}
		class := Classify(e)
		if more, wait := Again()(e); more != (class == Unavailable || class == Hiccup) || wait > longestPause {
			t.Errorf("class %d, again %v after %v", class, more, wait)
		}
		if status >= 500 && !IsAmbiguous(e) {
			t.Error("the server may have acted")
		}
		_ = Advice(e)
	})
}

func FuzzParseVersion(f *testing.F) {
	for _, seed := range []string{"1.163.2", "1.98.0rc1 (b=develop,1a2b3c)", "1.98", "1.98x", "", "v1.2", "99999.1", "1.\n2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseVersion(text)
		if err != nil {
			if v != (Version{}) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
				t.Errorf("%v, %q", v, err)
			}
			return
		}
		if !strings.HasPrefix(strings.TrimLeft(text, "0"), strings.TrimLeft(fmt.Sprint(v.Major), "0")) || v.Before(v) {
			t.Errorf("%q became %v", text, v)
		}
	})
}

func TestLongPausesDoNotOverflow(t *testing.T) {
	for _, s := range []float64{math.Inf(1), math.MaxFloat64, 1e18} {
		if got := seconds(s); got != longestPause {
			t.Errorf("%g s: %v", s, got)
		}
	}
}
