// loadbalancer gives Services of type LoadBalancer addresses, as a cloud would; kube-proxy does the rest.
//
//	loadbalancer KUBECONFIG FIRST-LAST...
//
// Each range is a pool of one address family. A Service gets one address of every family that it has, or waits until all of them
// are to be had.
package main

import (
	"context"
	"log"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: loadbalancer KUBECONFIG FIRST-LAST...")
	}
	pools, err := parsePools(os.Args[2:])
	if err != nil {
		log.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	config.QPS, config.Burst = 200, 400
	serve(context.Background(), kubernetes.NewForConfigOrDie(config), pools)
}

// serve looks at all Services whenever one has changed: they are few, and so no address can be given twice.
func serve(ctx context.Context, client kubernetes.Interface, pools []pool) {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[struct{}]())
	look := func(any) { queue.Add(struct{}{}) }
	factory := informers.NewSharedInformerFactory(client, 0)
	_, err := factory.Core().V1().Services().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: look, UpdateFunc: func(_, service any) { look(service) }, DeleteFunc: look,
	})
	if err != nil {
		log.Fatal(err)
	}
	factory.Start(ctx.Done())
	for {
		item, _ := queue.Get()
		if err := assign(ctx, client, pools); err != nil {
			log.Print(err)
			queue.AddRateLimited(item)
		} else {
			queue.Forget(item)
		}
		queue.Done(item)
	}
}

func assign(ctx context.Context, client kubernetes.Interface, pools []pool) error {
	// From the API server, not from the informer's cache, which may not hold what was given a moment ago.
	list, err := client.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, service := range give(list.Items, pools) {
		_, err := client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, service, metav1.UpdateOptions{})
		if err != nil && !errors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// balanced tells whether a Service is this load balancer's to serve.
func balanced(service *corev1.Service) bool {
	return service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil && service.DeletionTimestamp == nil
}
