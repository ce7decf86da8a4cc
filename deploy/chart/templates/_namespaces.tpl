{{- /* Namespaces to serve, joined by commas; nothing: all of them. The defaults of proxies are read where the release is. */}}
{{- define "sealway.namespaces" -}}
{{- if .Values.watchNamespaces -}}
{{- $own := list -}}
{{- if .Values.proxies }}{{ $own = list .Release.Namespace }}{{ end -}}
{{- concat .Values.watchNamespaces $own | uniq | join "," -}}
{{- end -}}
{{- end -}}
