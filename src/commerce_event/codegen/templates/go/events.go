// The event types. This file is generated: `commerce-event types --language go --models-only` writes it again.
// What may be absent is a pointer. Properties and values that are not listed here may come; ignore what you do not know.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// @@STRUCTS@@
// Parse returns the event of a body, as a pointer to one of the structs, or nil for a type that is not listed here.
func Parse(eventType string, body []byte) (any, error) {
	switch eventType {
// @@CASES@@
	}
	return nil, nil
}

// decode reads a JSON object. encoding/json alone would also take orderid for OrderId.
func decode[T any](body []byte) (any, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(body, &values); err != nil {
		return nil, err
	}
	if values == nil {
		return nil, errors.New("the body is null, not an object")
	}
	event := new(T)
	fields := reflect.ValueOf(event).Elem()
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Tag.Get("json")
		value, found := values[name]
		if !found {
			continue
		}
		target := fields.Field(i).Addr().Interface()
		err := json.Unmarshal(value, target)
		if err != nil {
			err = json.Unmarshal(withoutExponent(value), target)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return event, nil
}

// withoutExponent writes 1e3 and 5.0, which are integers in JSON Schema, as encoding/json wants integers.
func withoutExponent(value []byte) []byte {
	number, err := strconv.ParseFloat(string(value), 64)
	if err != nil || number != math.Trunc(number) || math.Abs(number) > 1<<53 {
		return value
	}
	return strconv.AppendFloat(nil, number, 'f', -1, 64)
}
