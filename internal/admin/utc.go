package admin

import (
	"reflect"
	"time"
)

// inUTC gives an answer whose times are all in UTC, whatever zone the host is in: what reads JSON is elsewhere. The
// answer was made for this request, and is nobody else's.
func inUTC(answer any) any {
	v := reflect.New(reflect.TypeOf(answer)).Elem()
	v.Set(reflect.ValueOf(answer))
	setUTC(v)
	return v.Interface()
}

func setUTC(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			setUTC(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			setUTC(v.Index(i))
		}
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			if !t.IsZero() {
				v.Set(reflect.ValueOf(t.UTC()))
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				setUTC(v.Field(i))
			}
		}
	}
}
