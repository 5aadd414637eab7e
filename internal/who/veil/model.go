package veil

import (
	"reflect"
	"strings"
)

// Model gives a copy of a value in which no text shows anybody whose address stands in one of its texts. What was given is everybody's, and stays as
// it is.
//
// Names stay whole where they stand by themselves: that of a tenant may be that of a mailbox, and so may a part of a link, and neither may lead
// elsewhere for it. So only a text of several words loses words.
func Model(model any) any {
	if model == nil {
		return nil
	}
	v := reflect.ValueOf(model)
	known := new(People)
	known.meet(v)
	copied := reflect.New(v.Type()).Elem()
	known.veil(copied, v)
	return copied.Interface()
}

// Of gives a text as Model does those of a value.
func (p *People) Of(text string) string {
	text = Text(text)
	if strings.ContainsAny(text, " \t\n") && !strings.HasPrefix(text, "/") {
		return p.Hide(text)
	}
	return text
}

// meet has everybody hidden whose address stands in a text of a value.
func (p *People) meet(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		p.AddAll(v.String())
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			p.meet(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			p.meet(v.Index(i))
		}
	case reflect.Map:
		for at := v.MapRange(); at.Next(); {
			p.meet(at.Key())
			p.meet(at.Value())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if seen(v.Type().Field(i)) {
				p.meet(v.Field(i))
			}
		}
	}
}

// seen says whether a field of a struct can be seen from elsewhere, or fields of it can.
func seen(f reflect.StructField) bool {
	return f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct
}

func (p *People) veil(to, from reflect.Value) {
	if to.CanSet() { // not an embedded type of this package: of that its fields can
		to.Set(from)
	}
	switch from.Kind() {
	case reflect.String:
		to.SetString(p.Of(from.String()))
	case reflect.Pointer:
		if !from.IsNil() {
			fresh := reflect.New(from.Type().Elem())
			p.veil(fresh.Elem(), from.Elem())
			to.Set(fresh)
		}
	case reflect.Interface:
		if !from.IsNil() {
			fresh := reflect.New(from.Elem().Type()).Elem()
			p.veil(fresh, from.Elem())
			to.Set(fresh)
		}
	case reflect.Slice:
		if !from.IsNil() {
			to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
			p.veilItems(to, from)
		}
	case reflect.Array:
		p.veilItems(to, from)
	case reflect.Map:
		p.veilMap(to, from)
	case reflect.Struct:
		for i := range from.NumField() {
			if seen(from.Type().Field(i)) {
				p.veil(to.Field(i), from.Field(i))
			}
		}
	}
}

func (p *People) veilItems(to, from reflect.Value) {
	for i := range from.Len() {
		p.veil(to.Index(i), from.Index(i))
	}
}

func (p *People) veilMap(to, from reflect.Value) {
	if from.IsNil() {
		return
	}
	to.Set(reflect.MakeMapWithSize(from.Type(), from.Len()))
	for at := from.MapRange(); at.Next(); {
		key, value := reflect.New(from.Type().Key()).Elem(), reflect.New(from.Type().Elem()).Elem()
		p.veil(key, at.Key())
		p.veil(value, at.Value())
		to.SetMapIndex(key, value)
	}
}
