// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// quiet is a log that nobody reads; what must not be is still a panic.
type quiet struct{}

func (quiet) Debug(...interface{})            {}
func (quiet) Debugf(string, ...interface{})   {}
func (quiet) Info(...interface{})             {}
func (quiet) Infof(string, ...interface{})    {}
func (quiet) Warning(...interface{})          {}
func (quiet) Warningf(string, ...interface{}) {}
func (quiet) Error(...interface{})            {}
func (quiet) Errorf(string, ...interface{})   {}
func (quiet) Fatal(v ...interface{})          { panic(fmt.Sprint(v...)) }
func (quiet) Panic(v ...interface{})          { panic(fmt.Sprint(v...)) }
func (quiet) Fatalf(f string, v ...interface{}) {
	panic(fmt.Sprintf(f, v...))
}
func (quiet) Panicf(f string, v ...interface{}) {
	panic(fmt.Sprintf(f, v...))
}
