{{/* Names are fixed: workspaces refer to some of them, and there is one installation per cluster. */}}
{{- define "bulkhead.name" -}}bulkhead-operator{{- end -}}

{{/* What selects the operator's pods; workspaces' NetworkPolicies select by it too. */}}
{{- define "bulkhead.selector" -}}
app.kubernetes.io/name: bulkhead
app.kubernetes.io/component: operator
{{- end -}}

{{/* The same for the canaries: gateways may connect to them, nobody else in a workspace. */}}
{{- define "bulkhead.canarySelector" -}}
app.kubernetes.io/name: bulkhead
app.kubernetes.io/component: canary
{{- end -}}

{{/* And for the issuer: nobody in a workspace may connect to it. */}}
{{- define "bulkhead.issuerSelector" -}}
app.kubernetes.io/name: bulkhead
app.kubernetes.io/component: issuer
{{- end -}}

{{/*
Labels of every object. The value of managed-by is Helm's, never "bulkhead": that one marks what the operator made.
*/}}
{{- define "bulkhead.labels" -}}
app.kubernetes.io/name: bulkhead
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of the cluster's DNS pods. */}}
{{- define "bulkhead.dnsPodLabels" -}}
{{- .Values.settings.dns.podLabels | default (dict "k8s-app" "kube-dns") | toJson -}}
{{- end -}}

{{/* registry/repository@digest or :tag, from an image value and the appVersion. */}}
{{- define "bulkhead.image" -}}
{{- $image := index . 0 -}}
{{- with $image.registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default (index . 1) }}{{ end -}}
{{- end -}}

{{/* Workspaces that have one of these digits in that place: peers of a ClusterNetworkPolicy. */}}
{{- define "bulkhead.beltPeers" -}}
{{- $place := .place -}}
{{- range .digits }}
- namespaces:
    matchLabels:
      app.kubernetes.io/managed-by: bulkhead
      bulkhead.dev/belt-{{ $place }}: {{ . | quote }}
{{- end }}
{{- end -}}
