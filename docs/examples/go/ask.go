// A service in Go that has a playbook run: a request on Kafka, the answer on Kafka, and nothing of ours imported.
//
//	go run . localhost:9092 hello '{"who": "you"}' noetl.requests replies
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/segmentio/kafka-go"
)

func ask(ctx context.Context, broker, playbook, payload, requests, replies string) ([]byte, error) {
	key := rand.Text() // asked again with the same key, a playbook does not run again
	request, err := json.Marshal(map[string]any{
		"playbook": playbook, "payload": json.RawMessage(payload),
		"idempotency_key": key, "correlation": key, "reply_to": replies,
	})
	if err != nil {
		return nil, err
	}
	writer := &kafka.Writer{Addr: kafka.TCP(broker), Topic: requests, RequiredAcks: kafka.RequireAll, BatchSize: 1}
	defer writer.Close()
	if err := writer.WriteMessages(ctx, kafka.Message{Value: request}); err != nil {
		return nil, err
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker}, Topic: replies, Partition: 0})
	defer reader.Close()
	for {
		reply, err := reader.ReadMessage(ctx)
		if err != nil || string(reply.Key) == key {
			return reply.Value, err // JSON with `status`, `result` and `error`
		}
	}
}

func main() {
	reply, err := ask(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(reply))
}
