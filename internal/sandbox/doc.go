// Package sandbox runs a real PostgreSQL and a real Synapse for tests, benchmarks and the demo.
//
// Both come from one virtual environment, made from the pinned and hash-checked requirements.txt and kept in a cache
// directory ($SYNUPKEEP_SANDBOX_CACHE, else synupkeep-sandbox in the user's cache directory). Everything a [Server]
// writes lies in its own directory; several run side by side, as root or as an ordinary user. Its processes die with
// the process that started them, and a new start in the directory of a killed predecessor works.
//
// What a single server cannot produce (cached remote media, forks, ages) is planted by [Plant] while Synapse is down.
package sandbox
