// Package logging gives logrus the seven levels of synupkeep: CRITICAL, ERROR, WARNING, SUCCESS, INFO, DEBUG, TRACE.
package logging
