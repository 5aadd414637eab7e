package admin

import (
	"cmp"
	"reflect"
	"regexp"
)

// An address is hidden up to its @: which domain mail is for is what an operator needs, and who it is for is not. It may be quoted, and the @
// may be written otherwise, as in links (%40). Before an @ all counts that RFC 5322, 3.2.3 has, a "=" and a "/" too: one part of it may be
// somebody else's address, as in bounces+bob=example.com@lists.example. In a link the name of the value is left, so that it stays one.
var addressed = regexp.MustCompile(`"(?:[^"\\]|\\.)*"@|[^\s<>()\[\],;:"@＠]+[@＠]|([?&][a-z_]+=)?[^\s<>()\[\],;:"@/?&]+?(%(?:25)*40|%[eE][fF]%[bB][cC]%[aA]0|&#64;|&#[xX]40;)`)

// VeilText hides the people in a text.
func VeilText(text string) string {
	return addressed.ReplaceAllStringFunc(text, func(found string) string {
		parts := addressed.FindStringSubmatch(found)
		return parts[1] + "…" + cmp.Or(parts[2], "@")
	})
}

// Veiled gives a copy of a value in which no text has an address. What was given is everybody's, and stays as it is.
func Veiled(model any) any {
	if model == nil {
		return nil
	}
	v := reflect.ValueOf(model)
	copied := reflect.New(v.Type()).Elem()
	veilInto(copied, v)
	return copied.Interface()
}

func veilInto(to, from reflect.Value) {
	if to.CanSet() { // not an embedded type of this package: of that its fields can
		to.Set(from)
	}
	switch from.Kind() {
	case reflect.String:
		to.SetString(VeilText(from.String()))
	case reflect.Pointer:
		if !from.IsNil() {
			fresh := reflect.New(from.Type().Elem())
			veilInto(fresh.Elem(), from.Elem())
			to.Set(fresh)
		}
	case reflect.Interface:
		if !from.IsNil() {
			fresh := reflect.New(from.Elem().Type()).Elem()
			veilInto(fresh, from.Elem())
			to.Set(fresh)
		}
	case reflect.Slice:
		if !from.IsNil() {
			to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
			veilItems(to, from)
		}
	case reflect.Array:
		veilItems(to, from)
	case reflect.Map:
		veilMap(to, from)
	case reflect.Struct:
		for i := range from.NumField() {
			if f := from.Type().Field(i); f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct {
				veilInto(to.Field(i), from.Field(i))
			}
		}
	}
}

func veilItems(to, from reflect.Value) {
	for i := range from.Len() {
		veilInto(to.Index(i), from.Index(i))
	}
}

func veilMap(to, from reflect.Value) {
	if from.IsNil() {
		return
	}
	to.Set(reflect.MakeMapWithSize(from.Type(), from.Len()))
	for at := from.MapRange(); at.Next(); {
		key, value := reflect.New(from.Type().Key()).Elem(), reflect.New(from.Type().Elem()).Elem()
		veilInto(key, at.Key())
		veilInto(value, at.Value())
		to.SetMapIndex(key, value)
	}
}
