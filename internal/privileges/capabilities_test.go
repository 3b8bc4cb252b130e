package privileges

import (
	"os"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// startAgainWithoutCapabilities starts the process anew, as a container does with cap_drop: what leaves the bounding set is
// gone with the next execve.
func startAgainWithoutCapabilities(t *testing.T, env ...string) {
	t.Helper()
	runtime.LockOSThread()
	for _, capability := range []uintptr{unix.CAP_SETUID, unix.CAP_SETGID} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), env...)))
}

// startAgainKeepingCapabilities starts the process anew so that it keeps its capabilities when it changes user.
func startAgainKeepingCapabilities(t *testing.T, env ...string) {
	t.Helper()
	runtime.LockOSThread()
	const noSetuidFixup = 1 << 2 // SECBIT_NO_SETUID_FIXUP of capabilities(7)
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noSetuidFixup, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Fatal(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), env...)))
}
