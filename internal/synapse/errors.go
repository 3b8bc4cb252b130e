package synapse

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"synupkeep/internal/retry"
)

// Error is an answer other than 200.
type Error struct {
	Method, URL string
	Status      int
	// Code and Message are Synapse's errcode and error.
	Code, Message string
	// Foreign says that the answer is not Synapse's: a proxy gave it, or another program listens there.
	Foreign bool
	// RetryAfter is how long the server asks to be left alone; 0 when it does not say.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: %d %s", e.Method, e.URL, e.Status, http.StatusText(e.Status))
	switch {
	case e.Foreign && e.Status == http.StatusOK:
		text += ", but the answer is not Synapse's"
	case e.Foreign:
		text += ", not from Synapse (a reverse proxy?)"
	case e.Code != "":
		text += fmt.Sprintf(" (%s: %s)", e.Code, e.Message)
	}
	return text
}

// TransportError is a call without an answer: the server may or may not have acted on it.
type TransportError struct {
	Method, URL string
	Err         error
}

func (e *TransportError) Error() string { return fmt.Sprintf("%s %s: %v", e.Method, e.URL, e.Err) }

func (e *TransportError) Unwrap() error { return e.Err }

func newError(method, url string, status int, header http.Header, text []byte) *Error {
	e := &Error{Method: method, URL: url, Status: status}
	var body struct {
		Code         string  `json:"errcode"`
		Message      string  `json:"error"`
		RetryAfterMS float64 `json:"retry_after_ms"`
	}
	err := json.Unmarshal(text, &body)
	if e.Code = oneLine(body.Code, 60); err != nil || e.Code == "" {
		e.Foreign, e.Code = true, ""
		body.Message, body.RetryAfterMS = "", 0
	}
	e.Message = oneLine(body.Message, 500)
	e.RetryAfter = seconds(body.RetryAfterMS / 1000)
	if asked := retryAfter(header); asked > 0 {
		e.RetryAfter = asked
	}
	return e
}

// longestPause bounds what a server may ask for, so that no number in an answer overflows.
const longestPause = 24 * time.Hour

func seconds(s float64) time.Duration {
	if s >= longestPause.Seconds() {
		return longestPause
	}
	return max(0, time.Duration(s*float64(time.Second)))
}

// retryAfter reads Retry-After: seconds, or a date, which is compared with the server's own clock where it tells it.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if s, err := strconv.ParseFloat(text, 64); err == nil && s > 0 {
		return seconds(s)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return seconds(at.Sub(now).Seconds())
}

// oneLine makes a text from elsewhere fit for a line of ours, of at most so many characters.
func oneLine(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return string(runes)
}

// Class says what an error of this package means for the caller.
type Class int

// The classes.
const (
	// Permanent: the same call would fail again.
	Permanent Class = iota
	// Unavailable: the server or the way to it is down or busy; try again later.
	Unavailable
	// Hiccup: a 500, which Synapse also gives for serialization conflicts, timeouts and a database that was
	// restarted; try a few times more.
	Hiccup
	// Unauthorized: no call with this token will ever be answered.
	Unauthorized
	// NotFound: the thing named is not there.
	NotFound
	// Misrouted: the call never came to Synapse's admin API, so that others will not either.
	Misrouted
)

// Classify sorts an error of a call.
func Classify(err error) Class {
	var refused *Error
	if !errors.As(err, &refused) {
		var lost *TransportError
		if errors.As(err, &lost) {
			return Unavailable
		}
		return Permanent
	}
	switch {
	case !refused.Foreign && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden):
		return Unauthorized
	case refused.Status == http.StatusInternalServerError:
		return Hiccup
	case refused.Status == http.StatusTooManyRequests, refused.Status > http.StatusNotImplemented: // 52x are a proxy's, too
		return Unavailable
	case refused.Foreign, refused.Code == "M_UNRECOGNIZED":
		return Misrouted
	case refused.Code == "M_NOT_FOUND":
		return NotFound
	}
	return Permanent
}

// IsAnswer says whether an error comes from the admin API or the way to it, rather than from the database: a connection
// to the one that is lost looks like one to the other.
func IsAnswer(err error) bool {
	var refused *Error
	var lost *TransportError
	return errors.As(err, &refused) || errors.As(err, &lost)
}

// patience is how many hiccups a call is forgiven. After its database was restarted, Synapse answers 500 once for each
// connection that it had to it (10 by default), whoever asks.
const patience = 5

// Again is for retry, anew for each call: while the server is away the call is made again, after a hiccup a few times.
func Again() retry.Again {
	hiccups := 0
	return func(err error) (bool, time.Duration) {
		switch Classify(err) {
		case Unavailable:
			return true, RetryAfter(err)
		case Hiccup:
			hiccups++
			return hiccups <= patience, 0
		case Permanent, Unauthorized, NotFound, Misrouted:
		}
		return false, 0
	}
}

// IsAmbiguous says whether the server may have acted on a call all the same: no answer came, a proxy gave up on it, or
// what came with a 200 was not the answer.
func IsAmbiguous(err error) bool {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusOK
	}
	var lost *TransportError
	return errors.As(err, &lost)
}

// RetryAfter is how long the server asked to be left alone, 0 when it did not say.
func RetryAfter(err error) time.Duration {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.RetryAfter
	}
	return 0
}

// Advice says what an operator can do about an error of a call; it is empty when there is nothing to say.
func Advice(err error) string {
	var refused *Error
	var lost *TransportError
	switch {
	case errors.As(err, &refused):
		return refused.advice()
	case errors.As(err, &lost):
		return "Is Synapse running, and is --api-url the address of a listener with the client resource?"
	}
	return ""
}

// WhoAmIAdvice is Advice for WhoAmI after the admin API has answered.
func WhoAmIAdvice(err error) string {
	if class := Classify(err); class == Misrouted || class == NotFound {
		return "The admin API answers at --api-url, and " + whoAmI + " does not: let the reverse proxy pass that path on as well, " +
			"or give --api-url the address of Synapse itself."
	}
	return Advice(err)
}

func (e *Error) advice() string {
	switch {
	case e.Status >= http.StatusMultipleChoices && e.Status < http.StatusBadRequest:
		return "The address redirects elsewhere, perhaps from http to https: give --api-url the address that it leads to."
	case e.Foreign && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || e.Status == http.StatusNotFound):
		return "A reverse proxy answers there and does not pass /_synapse/admin on: give --api-url the address of Synapse itself."
	case e.Foreign && e.Status > http.StatusNotImplemented:
		return "A reverse proxy answers and does not reach Synapse: is Synapse running?"
	case e.Foreign:
		return "Something other than Synapse answers at --api-url."
	case e.Code == "M_UNRECOGNIZED":
		return "This process of Synapse does not serve the admin API: give --api-url the address of the main process."
	case e.Status == http.StatusUnauthorized:
		return "Give the access token of a server admin. Tokens of the Matrix Authentication Service expire after minutes: " +
			"give --token-file with a file that is kept fresh, or a compatibility token that does not expire, made with the scope urn:synapse:admin:*."
	case e.Status == http.StatusForbidden:
		return "The token is not an admin's. Make its user one (PUT /_synapse/admin/v1/users/<user>/admin); " +
			"with the Matrix Authentication Service the token needs the scope urn:synapse:admin:*."
	}
	return ""
}
