// Package report runs cases and tells how each ended, one JSON object a line: see
// interop/src/suites/lines.rs.
package report

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

const caseLimit = 90 * time.Second

// Case is one test with its name.
type Case struct {
	Name string
	Run  func(*T) error
}

// T collects what a case must close.
type T struct {
	closers []func()
}

// Defer closes something after the case.
func (t *T) Defer(closer func()) { t.closers = append(t.closers, closer) }

// Bootstrap is where clients begin.
func Bootstrap() []string { return strings.Split(os.Args[1], ",") }

// Name gives a name that no other case and no other run uses.
func Name(text string) string {
	var noise [4]byte
	if _, err := rand.Read(noise[:]); err != nil {
		panic(err)
	}
	return text + "-" + hex.EncodeToString(noise[:])
}

// Expect is an error unless both are the same when printed.
func Expect(what string, found, expected any) error {
	if fmt.Sprint(found) != fmt.Sprint(expected) {
		return fmt.Errorf("%s: %v instead of %v", what, found, expected)
	}
	return nil
}

// Refused is an error unless err is the expected one.
func Refused(err, expected error) error {
	if !errors.Is(err, expected) {
		return fmt.Errorf("%v instead of %v", err, expected)
	}
	return nil
}

// Eventually asks again and again.
func Eventually(what string, limit time.Duration, ask func() bool) error {
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		if ask() {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v", what, limit)
		}
	}
}

// Run runs all cases that are asked for.
func Run(module string, cases []Case) {
	tell(map[string]string{"version": version(module)})
	for _, one := range cases {
		if !strings.Contains(one.Name, os.Getenv("CASE")) {
			continue
		}
		if err := runCase(one); err != nil {
			tell(map[string]string{"case": one.Name, "ending": "failed", "detail": err.Error()})
		} else {
			tell(map[string]string{"case": one.Name, "ending": "passed"})
		}
	}
}

func runCase(one Case) error {
	t := &T{}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if thrown := recover(); thrown != nil {
				done <- fmt.Errorf("panic: %v", thrown)
			}
		}()
		done <- one.Run(t)
	}()
	select {
	case err := <-done:
		for at := len(t.closers) - 1; at >= 0; at-- {
			t.closers[at]()
		}
		return err
	case <-time.After(caseLimit):
		return fmt.Errorf("not ended within %v", caseLimit)
	}
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return ""
}

func tell(line map[string]string) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}
