package homeserver

import (
	"errors"
	"fmt"
	"regexp"
)

// AppService is an application service, most often a bridge, as its registration file describes it.
type AppService struct {
	ID string
	// sender is the user that the service acts as, the part before the colon.
	sender string
	users  []namespace
}

// namespace is a set of users that a service is told of, and that nobody else may be when it is exclusive.
type namespace struct {
	regex     *regexp.Regexp
	exclusive bool
}

// Errors of ReadAppServices.
var (
	errNoAppService = errors.New("it is no registration of an application service: it has no id or no sender_localpart")
	errPattern      = errors.New("a regex of its users is of a kind that is not understood here")
)

// ReadAppServices reads registration files. What can be read is returned beside the errors of the others, none of which
// quotes what a file holds: there are tokens in it, of which nothing is kept.
func ReadAppServices(files ...string) (list []AppService, err error) {
	var problems []error
	for _, file := range files {
		one, err := readAppService(file)
		if err != nil {
			problems = append(problems, fmt.Errorf("read %s: %w", file, err))
			continue
		}
		list = append(list, one)
	}
	return list, errors.Join(problems...)
}

// readAppService follows synapse/config/appservice.py:113-165 of 1.163.2.
func readAppService(file string) (a AppService, err error) {
	all := map[string]any{}
	if err := readInto(all, file); err != nil {
		return a, err
	}
	s := section(all)
	a.ID, a.sender = s.text("id"), s.text("sender_localpart")
	if a.ID == "" || a.sender == "" {
		return a, errNoAppService
	}
	for _, users := range s.section("namespaces").sections("users") {
		// Synapse matches from the begin of the user id and not to its end (appservice/__init__.py:215-222).
		regex, err := regexp.Compile(`^(?:` + users.text("regex") + `)`)
		if err != nil {
			return a, errPattern // the error of regexp quotes it
		}
		a.users = append(a.users, namespace{regex, users.truth("exclusive", false)})
	}
	return a, nil
}

// Owns says whether a user of the server is the service's: the one that it acts as, or of an exclusive namespace. Of several
// namespaces that fit, the first counts, as in Synapse (is_exclusive_user). What is not exclusive has people in it.
func (a AppService) Owns(user, serverName string) bool {
	if user == "@"+a.sender+":"+serverName {
		return true
	}
	for _, n := range a.users {
		if n.regex.MatchString(user) {
			return n.exclusive
		}
	}
	return false
}
