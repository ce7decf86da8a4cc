// Package compare tells two dumps (see package apply) apart. Of each it states facts, in which what has to differ from one
// issuance to the next (keys, serial numbers, times, generated names) is replaced by what must hold of it; then it lists the
// facts that differ.
package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Run prints every difference between the dumps want and got that the file excused does not excuse, and fails if there is one,
// or if an excuse excuses nothing. specs is the directory of the manifests that both were made from.
func Run(want, got, specs, excused string) error {
	wanted, err := Facts(want, want, specs)
	if err != nil {
		return err
	}
	// What the spec of a Certificate is, is said by the dump that has it.
	gotten, err := Facts(got, want, specs)
	if err != nil {
		return err
	}
	excuses, err := readExcuses(excused)
	if err != nil {
		return err
	}
	differences := Differences(wanted, gotten)
	wrong := excuses.judge(differences)
	fmt.Printf("%d facts, %d differences, %d of them excused\n", len(wanted), len(differences), len(differences)-len(wrong.unexcused))
	return wrong.report()
}

// Differences gives the facts that differ, sorted; of an object that only one of the two has, the one fact that it is there.
func Differences(want, got map[string]string) []Difference {
	wanted, gotten := objects(want), objects(got)
	names := map[string]string{}
	maps.Copy(names, want)
	maps.Copy(names, got)
	var differences []Difference
	lone := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		object := objectOf(name)
		if wanted[object] != gotten[object] {
			if !lone[object] {
				lone[object] = true
				differences = append(differences, Difference{object + " is there", fmt.Sprint(wanted[object]), fmt.Sprint(gotten[object])})
			}
			continue
		}
		a, inWant := want[name]
		b, inGot := got[name]
		if a != b || inWant != inGot {
			differences = append(differences, Difference{name, shown(a, inWant), shown(b, inGot)})
		}
	}
	return differences
}

func objects(stated map[string]string) map[string]bool {
	found := map[string]bool{}
	for name := range stated {
		found[objectOf(name)] = true
	}
	return found
}

func objectOf(fact string) string {
	object, _, _ := strings.Cut(fact, " ")
	return object
}

// Difference is one fact that is not the same.
type Difference struct{ Fact, Want, Got string }

func (d Difference) String() string {
	return fmt.Sprintf("%s\n    want %s\n    got  %s", d.Fact, d.Want, d.Got)
}

func shown(value string, present bool) string {
	if !present {
		return "(absent)"
	}
	return value
}

// facts collects what is stated about one object, below its name.
type facts struct {
	of   string
	into map[string]string
}

func (f facts) say(fact string, value any) {
	f.into[f.of+" "+fact] = fmt.Sprint(value)
}

func (f facts) below(name string) facts {
	return facts{f.of + " " + name, f.into}
}

// list says how many there are and each of them.
func (f facts) list(name string, values []string) {
	f.say(name, strings.Join(values, ", "))
}
