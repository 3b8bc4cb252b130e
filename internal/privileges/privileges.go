// Package privileges gives up those of root in the container image, before anything of the operator's is read: who deletes
// files needs to be their owner and no more.
//
// The words are those of Synapse's own image: its docker/start.py runs Synapse as UID and GID, of which the group is 991
// where only UID is set.
package privileges

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const (
	// Marker is the variable that the image sets: outside of it root stays root, unless CUSTOM_UID or CUSTOM_GID asks for
	// another.
	Marker = "SYNUPKEEP_CONTAINER"

	customUID, customGID = "CUSTOM_UID", "CUSTOM_GID"
	imageUID, imageGID   = "UID", "GID"

	// defaultID is user and group of the image, imageGroup the group of Synapse's image where it is told the user only.
	defaultID, imageGroup = 1000, 991
	// mostID is the largest: the kernel takes the one above it for "leave it as it is".
	mostID = 1<<32 - 2
)

// Input is what decides as whom the process goes on.
type Input struct {
	// LookupEnv reads a variable, as os.LookupEnv does.
	LookupEnv func(string) (string, bool)
	// Stores are directories that may be the media store, the likeliest first. Nothing in them is read: the owner of the first
	// that is there is asked for.
	Stores []string
}

// identity is user and group of a process.
type identity struct{ uid, gid int }

// Drop makes the process go on as the user that was asked for, if it is root and in the image, or is asked to. The
// warnings are what the operator should know. After an error the process must end: it may be half of one and half of the
// other user.
func Drop(in Input) (warnings []string, err error) {
	if os.Geteuid() != 0 {
		return append(in.unheard(), in.notOurs()...), nil
	}
	if !in.asked() {
		return nil, nil
	}
	who, warnings, err := in.decide()
	if err != nil {
		return nil, err
	}
	if who.uid == 0 {
		return append(warnings, "running on as root, as "+in.rootBecause()+" says: any other user that the media store belongs to would do"), nil
	}
	return warnings, become(who)
}

func (in Input) env(name string) string {
	value, _ := in.LookupEnv(name)
	return value
}

func (in Input) asked() bool {
	return in.env(Marker) != "" || in.env(customUID) != "" || in.env(customGID) != ""
}

// unheard warns somebody who asks for a user that we cannot become.
func (in Input) unheard() []string {
	for name, now := range map[string]int{customUID: os.Geteuid(), customGID: os.Getegid()} {
		if value := in.env(name); value != "" && value != strconv.Itoa(now) {
			return []string{"CUSTOM_UID and CUSTOM_GID are heard only where the container is started as root (--user 0, in compose " +
				`user: "0"); this one runs as ` + strconv.Itoa(os.Geteuid()) + ":" + strconv.Itoa(os.Getegid())}
		}
	}
	return nil
}

// notOurs says how to start the image beside a media store that belongs to somebody else: Synapse's image has another user
// than ours.
func (in Input) notOurs() []string {
	const searchAndWrite = 1 | 2 // X_OK | W_OK of access(2)
	owner, store := in.owner()
	if in.env(Marker) == "" || store == "" || owner.uid == os.Geteuid() || syscall.Access(store, searchAndWrite) == nil {
		return nil
	}
	return []string{fmt.Sprintf("%s belongs to user %d, and this container runs as %d, which may delete nothing there: start it with --user %d:%d "+
		`(in compose user: "%d:%d"), or as root (--user 0), which becomes that user by itself`,
		store, owner.uid, os.Geteuid(), owner.uid, owner.gid, owner.uid, owner.gid)}
}

func (in Input) rootBecause() string {
	if in.env(customUID) != "" {
		return customUID
	}
	return imageUID
}

// decide chooses user and group, each for itself: what is asked for, what Synapse's image is told, the owner of the media
// store, 1000. Nobody becomes root without being told to: whoever may write where the store lies could lead us to a
// directory of root's.
func (in Input) decide() (who identity, warnings []string, err error) {
	uid, uidFrom, uidErr := in.id(customUID, imageUID)
	gid, gidFrom, gidErr := in.id(customGID, imageGID)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return who, nil, err
	}
	who = identity{defaultID, defaultID}
	owner, store := in.owner()
	switch {
	case uidFrom != "":
		who.uid = uid
	case store != "" && owner.uid == 0:
		warnings = append(warnings, store+" belongs to root, and this goes on as user "+strconv.Itoa(defaultID)+
			": CUSTOM_UID says as whom it should, and CUSTOM_UID=0 as root")
	case store != "":
		who.uid = owner.uid
	}
	switch {
	case gidFrom != "":
		who.gid = gid
	case uidFrom == imageUID:
		who.gid = imageGroup
	case store != "" && owner.gid != 0:
		who.gid = owner.gid
	}
	return who, warnings, nil
}

// id reads the first of the variables that is set.
func (in Input) id(names ...string) (id int, from string, err error) {
	for _, name := range names {
		value := in.env(name)
		if value == "" {
			continue
		}
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n > mostID || strings.HasPrefix(value, "+") {
			return 0, "", fmt.Errorf("%s is %q, which is no such number: a whole one from 0 (root) to %d is, as `id -u` and `id -g` print it",
				name, shown(value), uint32(mostID))
		}
		return int(n), name, nil
	}
	return 0, "", nil
}

// shown cuts what may be anything.
func shown(value string) string {
	const enough = 20
	if len(value) > enough {
		return value[:enough] + "..."
	}
	return value
}

// owner is whose the first store is that is there.
func (in Input) owner() (who identity, store string) {
	for _, store := range in.Stores {
		var stat syscall.Stat_t
		if store == "" || syscall.Stat(store, &stat) != nil || stat.Mode&syscall.S_IFMT != syscall.S_IFDIR {
			continue
		}
		return identity{int(stat.Uid), int(stat.Gid)}, store
	}
	return who, ""
}

// ErrRegained means that root could be had again, so that nothing was given up.
var ErrRegained = errors.New("root can be had again after it was given up: the container keeps its capabilities over a change of user")

// become changes user and groups of every thread: groups first, which only root may.
func become(who identity) error {
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"give up the groups", func() error { return syscall.Setgroups([]int{who.gid}) }},
		{fmt.Sprintf("become group %d", who.gid), func() error { return syscall.Setresgid(who.gid, who.gid, who.gid) }},
		{fmt.Sprintf("become user %d", who.uid), func() error { return syscall.Setresuid(who.uid, who.uid, who.uid) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w. A container that is started as root needs the capabilities SETUID and SETGID (cap_add); one that is "+
				"started as its user (--user %d:%d) needs none", step.what, err, who.uid, who.gid)
		}
	}
	if syscall.Setuid(0) == nil || who.gid != 0 && syscall.Setgid(0) == nil {
		return ErrRegained
	}
	return nil
}
